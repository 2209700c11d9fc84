package api

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage"
	"keyward/manage/problem"

	"github.com/danielgtaylor/huma/v2"
)

// FuzzImportLines: an error gives no key, and repeats nothing of the input; a success gives
// a key per line, each with a hash.
func FuzzImportLines(f *testing.F) {
	for _, line := range []string{
		`{"key": "secret-4711"}`, `{"key": "secret-4711", "scopes": null, "paths": [], "expires": "90d"}`, `{"hash": "sha256:00"}`,
		`{"key": "secret-4711", "key": "b"}`, `{"Key": "secret-4711"}`, "{}\n\n{", `{"key": "secret-4711", "cidrs": ["x"], "rate": "x", "not_before": "x"}`, "\ufeff{}", `{"key": 1e9}`,
	} {
		f.Add([]byte(line))
	}
	problem.SetUpHuma()
	service := manage.New(manage.Config{Hasher: apikey.NewHasher(authz.Secret{})})
	a := &api{Config: Config{Service: func() *manage.Service { return service }, Now: time.Now}}
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	lines := importLines{registry: registry, schema: registry.Schema(reflect.TypeFor[ImportedKey](), true, "ImportedKey")}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := lines.read(a, text)
		if err != nil {
			if problem := asProblem(err); keys != nil || strings.Contains(fmt.Sprint(err, problem.Detail, problem.Errors), "secret-4711") {
				t.Errorf("%q: %d keys, and %v", text, len(keys), problem)
			}
			return
		}
		filled := 0
		for line := range bytes.Lines(text) {
			if len(bytes.TrimRight(line, "\r\n")) > 0 {
				filled++
			}
		}
		if len(keys) != filled {
			t.Errorf("%d keys of %d lines", len(keys), filled)
		}
		for i := range keys {
			if keys[i].Hash == (apikey.Digest{}) || keys[i].Params == nil || keys[i].Line == 0 {
				t.Errorf("%+v", keys[i])
			}
		}
	})
}
