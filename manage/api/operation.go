package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"keyward/manage/access"
	"keyward/manage/problem"
	"keyward/store"

	"github.com/danielgtaylor/huma/v2"
)

// operation is one request of the API.
type operation struct {
	id, method, path, summary string
	description               string
	status                    int // of success; 0 is 200
	errors                    []int
	tag                       string
	alsoEmpty                 bool  // succeeds with 204, too
	link                      bool  // a one-time link, which needs no other credential
	maxBody                   int64 // 0 is maxBody
}

// apiPath is where the operations are.
const apiPath = "/api/v1"

// commonErrors are the statuses of problems that every operation may answer with.
var commonErrors = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest, http.StatusUnprocessableEntity,
	http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable,
}

// add registers the operation with what it calls.
func add[I, O any](h huma.API, o operation, call func(context.Context, access.Actor, *I) (*O, error)) {
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: apiPath + o.path, Summary: o.summary, Description: o.description, Tags: []string{o.tag},
		DefaultStatus: o.status, Errors: append(append([]int{}, commonErrors...), o.errors...),
		// The body is in memory by then. A deadline of the connection would stay after it, and
		// end whatever takes longer, and each later request of the connection.
		MaxBodyBytes: max(maxBody, o.maxBody), BodyReadTimeout: -1,
	}
	if o.method != http.MethodGet && o.method != http.MethodDelete {
		op.Errors = append(op.Errors, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if o.link {
		op.Path, op.Security = o.path, []map[string][]string{}
	}
	if o.method == http.MethodPost && takesName(o.path) && !o.link {
		op.Errors = append(op.Errors, http.StatusConflict)
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: idempotencyHeader, In: "header", Schema: &huma.Schema{Type: "string", MaxLength: new(255)},
			Description: "A name that the caller chooses for this request. Sent again within 24 hours, the request is carried out once, and the secret is in the first answer alone.",
		})
	}
	if strings.Contains(o.path, "{") {
		op.Errors = append(op.Errors, http.StatusNotFound)
		if !o.link {
			op.Errors = append(op.Errors, http.StatusPreconditionFailed)
		}
	}
	if o.alsoEmpty {
		op.Responses = map[string]*huma.Response{"204": {Description: "No Content"}}
	}
	huma.Register(h, op, func(ctx context.Context, in *I) (*O, error) {
		reached(ctx)
		out, err := call(ctx, actorOf(ctx), in)
		c := callOf(ctx)
		if c != nil && c.madeMeanwhile(ctx, err) {
			out, err = call(ctx, actorOf(ctx), in)
		}
		if c != nil {
			c.authorized(err)
			c.failure(o.id, err)
		}
		if err != nil {
			return nil, asProblem(err)
		}
		return out, nil
	})
	if o.method == http.MethodPatch {
		content := h.OpenAPI().Paths[op.Path].Patch.RequestBody.Content
		content[patchType] = content[jsonType]
	}
}

// asProblem is the problem that an operation answers with.
func asProblem(err error) *problem.Problem {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p
	}
	return problem.Of(err)
}

// Paging are the parameters of every list.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"How many items to return at most."`
	Cursor string `query:"cursor" maxLength:"1024" doc:"Where the page begins: next_cursor of the page before."`
}

// page is the page of a list, newest first.
func (p Paging) page() store.Page {
	return store.Page{After: store.Cursor(p.Cursor), Limit: p.Limit, NewestFirst: true}
}

// list is the body of every list.
type list[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor" nullable:"true" doc:"Where the next page begins; null behind the last one."`
}

// listOf returns the body of a list of what view shows of the records.
func listOf[R, T any](records []R, next store.Cursor, view func(*R) T) list[T] {
	l := list[T]{Items: make([]T, 0, len(records))}
	for i := range records {
		l.Items = append(l.Items, view(&records[i]))
	}
	if next != "" {
		text := string(next)
		l.NextCursor = &text
	}
	return l
}

// listOutput is the response to a list.
type listOutput[T any] struct{ Body list[T] }

// IfMatch is the precondition of a change (RFC 9110 section 13.1.1).
type IfMatch struct {
	Version string `header:"If-Match" maxLength:"1024" doc:"The etag of the version to change; 412 if the record has another one by now."`
}

// version is the version that the precondition names.
func (m IfMatch) version() store.Version {
	if m.Version == "" || m.Version == "*" {
		return store.AnyVersion
	}
	text, ok := strings.CutPrefix(m.Version, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	if !ok || !closed || text == "" {
		return store.Version("not a version") // a list or a weak one matches nothing
	}
	return store.Version(text)
}

// etag is the ETag of a version.
func etag(v store.Version) string { return `"` + string(v) + `"` }
