package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/input"
	"keyward/manage/problem"
	"keyward/store"
	"keyward/verifier/strictjson"

	"github.com/danielgtaylor/huma/v2"
)

// Bounds of an import. Imports are served one at a time, and the body is read after
// the permission is judged, so that at most one such body is in memory. The ids of
// that many keys are an answer that can be kept for an Idempotency-Key.
const (
	importPath     = "/api/v1/keys/import"
	importType     = "application/x-ndjson"
	maxImport      = 16 << 20
	maxImportLines = 50_000
	importBodyTime = 15 * time.Second
	importTime     = 25 * time.Second
)

// isImport reports whether a request imports keys.
func isImport(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == importPath
}

// beginImport reports whether the import may begin; if not, it has answered. One that
// began takes its element from a.importing.
func (a *api) beginImport(w http.ResponseWriter, r *http.Request, c *call) bool {
	if err := a.Service().MayImport(r.Context(), c.actor); err != nil {
		c.reached = true // the Service has recorded it
		problem.Of(err).Write(w)
		return false
	}
	select {
	case a.importing <- struct{}{}:
		return true
	default:
		overload(w, "other keys are being imported")
		return false
	}
}

// ImportedKey is a line of an import: the key of another system or its hash, and what it
// may do.
type ImportedKey struct {
	Key  string `json:"key,omitempty" maxLength:"8192" doc:"The key itself." writeOnly:"true"`
	Hash string `json:"hash,omitempty" maxLength:"96" doc:"In place of the key: sha256: and 64 hexadecimal digits or 44 characters of base64, or hmac-sha256: where this Keyward has a pepper, and made under that." writeOnly:"true"`
	Name string `json:"name,omitempty" maxLength:"255" doc:"What the key is for."`
	User string `json:"user,omitempty" maxLength:"255" doc:"The user that the key acts for."`
	KeySettings
}

// importedKeys is the answer to an import.
type importedKeys struct {
	IDs []string `json:"ids" nullable:"false" doc:"The ids of the keys, in the order of the lines."`
	Seq int64    `json:"seq,omitempty" doc:"The number of the last change."`
}

// registerImport adds the import of keys.
func (a *api) registerImport(h huma.API) {
	schema := h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[ImportedKey](), true, "ImportedKey")
	lines := importLines{registry: h.OpenAPI().Components.Schemas, schema: schema}
	add(h, operation{
		id: "import-keys", method: http.MethodPost, path: "/keys/import", summary: "Import keys of another system: all of them, or none", status: http.StatusCreated, tag: "Keys",
		description: "The body has one JSON object per line, as the schema ImportedKey says: at most 50,000 lines and 16 MiB. An error names the line, as /line/3/scopes.",
		maxBody:     maxImport,
	},
		func(ctx context.Context, who access.Actor, in *struct {
			RawBody []byte `contentType:"application/x-ndjson"`
		}) (*struct{ Body importedKeys }, error) {
			body, err := a.importKeys(ctx, who, lines, in.RawBody)
			return &struct{ Body importedKeys }{body}, err
		})
}

func (a *api) importKeys(ctx context.Context, who access.Actor, lines importLines, text []byte) (importedKeys, error) {
	body := importedKeys{IDs: []string{}}
	if made, err := a.madeBefore(ctx); err != nil || len(made) > 0 {
		for _, e := range made {
			body.IDs, body.Seq = append(body.IDs, e.Record), e.Seq
		}
		return body, err
	}
	keys, err := lines.read(a, text)
	if err != nil {
		return body, err
	}
	records, err := a.Service().ImportKeys(ctx, who, keys)
	for i := range records {
		body.IDs, body.Seq = append(body.IDs, records[i].ID), records[i].Seq
	}
	return body, err
}

// importLines reads the lines of an import as the schema describes them.
type importLines struct {
	registry huma.Registry
	schema   *huma.Schema
}

// read returns the keys. The error names the lines and repeats nothing of them.
func (l importLines) read(a *api, text []byte) ([]store.ImportedKey, error) {
	var keys []store.ImportedKey
	var bad fault.LineErrors
	number := 0
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if number++; len(line) == 0 {
			continue
		}
		if len(keys) == maxImportLines {
			return nil, problem.New(problem.TooLarge, fmt.Sprintf("more than %d keys", maxImportLines))
		}
		in, err := l.decode(line)
		if errors.Is(err, problem.ErrMalformed) {
			return nil, problem.New(problem.Malformed, fmt.Sprintf("line %d is not one JSON object without repeated members", number))
		}
		var key store.ImportedKey
		if err == nil {
			key, err = a.importedKey(number, in)
		}
		if err != nil {
			bad.Add(number, fault.InvalidMembers(asProblem(err).Errors...))
		}
		if n := len(keys); n > 0 && key.Params != nil && reflect.DeepEqual(key.Params, keys[n-1].Params) {
			key.Params = keys[n-1].Params // what many keys have in common is kept and checked once
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, input.Invalid("", "the body has no keys")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return keys, nil
}

// decode reads a line.
func (l importLines) decode(line []byte) (*ImportedKey, error) {
	if len(line) > maxBody {
		return nil, input.Invalid("", fmt.Sprintf("is longer than %d KiB", maxBody>>10))
	}
	members, err := strictjson.Object(line, strictjson.Limits{Depth: maxDepth, Members: maxMembers})
	if err != nil {
		return nil, problem.ErrMalformed
	}
	var result huma.ValidateResult
	huma.Validate(l.registry, l.schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, members, &result)
	if len(result.Errors) > 0 {
		return nil, problem.FromHuma(http.StatusUnprocessableEntity, "", result.Errors)
	}
	var in ImportedKey
	if err := json.Unmarshal(line, &in); err != nil {
		return nil, input.Invalid("", "has a member of another type")
	}
	return &in, nil
}

// importedKey returns the key that a line gives.
func (a *api) importedKey(line int, in *ImportedKey) (store.ImportedKey, error) {
	if (in.Key == "") == (in.Hash == "") {
		return store.ImportedKey{}, input.Invalid("", "needs a key or its hash, and not both")
	}
	p, err := a.keyParams(&in.KeySettings)
	if err != nil {
		return store.ImportedKey{}, err
	}
	p.Name, p.User = in.Name, in.User
	return a.Service().ReadKey(line, in.Key+in.Hash, in.Hash != "", &p)
}
