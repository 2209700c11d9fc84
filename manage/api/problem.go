package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"keyward/manage"

	"github.com/danielgtaylor/huma/v2"
)

// Problem is the body of every error (RFC 9457). It never has a value that the
// caller sent.
type Problem struct {
	Type   string              `json:"type" format:"uri" doc:"https://keyward.dev/errors/NAME; the names are in docs/api.md."`
	Title  string              `json:"title" doc:"What the type means, always the same."`
	Status int                 `json:"status" doc:"The HTTP status."`
	Detail string              `json:"detail,omitempty" doc:"What happened here, for people."`
	Errors []manage.FieldError `json:"errors,omitempty" doc:"Of the type invalid: everything that is wrong, by JSON pointer."`
	// DecisionID is the id under which the log has a denied credential.
	DecisionID string `json:"decision_id,omitempty" doc:"The id under which the log has the denial of a credential."`
}

const problemTypes = "https://keyward.dev/errors/"

// The names of problems beside those of package manage.
const (
	unauthenticated  manage.Code = "unauthenticated"
	malformed        manage.Code = "malformed"
	crossOrigin      manage.Code = "cross_origin"
	misdirected      manage.Code = "misdirected"
	methodNotAllowed manage.Code = "method_not_allowed"
	mediaType        manage.Code = "media_type"
	tooLarge         manage.Code = "too_large"
	internal         manage.Code = "internal"

	idempotencyRunning manage.Code = "idempotency_running"
	idempotencyReused  manage.Code = "idempotency_reused"
)

// kinds are the problems by name.
var kinds = map[manage.Code]struct {
	status int
	title  string
}{
	unauthenticated:         {http.StatusUnauthorized, "No valid credential"},
	manage.Forbidden:        {http.StatusForbidden, "Not permitted"},
	crossOrigin:             {http.StatusForbidden, "From another origin"},
	manage.Reauthenticate:   {http.StatusForbidden, "Log in again"},
	misdirected:             {http.StatusMisdirectedRequest, "Not a host name of the console"},
	manage.BeyondCaller:     {http.StatusForbidden, "More than the caller has"},
	manage.NotFound:         {http.StatusNotFound, "Not found"},
	methodNotAllowed:        {http.StatusMethodNotAllowed, "Method not allowed"},
	manage.Conflict:         {http.StatusConflict, "Conflict"},
	manage.Ended:            {http.StatusConflict, "Already ended"},
	manage.Changed:          {http.StatusPreconditionFailed, "Changed meanwhile"},
	idempotencyRunning:      {http.StatusConflict, "Being carried out"},
	idempotencyReused:       {http.StatusUnprocessableEntity, "Idempotency-Key of another request"},
	tooLarge:                {http.StatusRequestEntityTooLarge, "Too large"},
	mediaType:               {http.StatusUnsupportedMediaType, "Media type not accepted"},
	malformed:               {http.StatusBadRequest, "Malformed"},
	manage.Invalid:          {http.StatusUnprocessableEntity, "Invalid"},
	manage.RateLimited:      {http.StatusTooManyRequests, "Too many requests"},
	manage.StoreUnavailable: {http.StatusServiceUnavailable, "Store unavailable"},
	manage.AuditUnavailable: {http.StatusServiceUnavailable, "Audit log unavailable"},
	manage.Overloaded:       {http.StatusServiceUnavailable, "Overloaded"},
	internal:                {http.StatusInternalServerError, "Internal error"},
}

func newProblem(code manage.Code, detail string) *Problem {
	kind, known := kinds[code]
	if !known {
		code, kind = internal, kinds[internal]
	}
	return &Problem{Type: problemTypes + string(code), Title: kind.title, Status: kind.status, Detail: detail}
}

// code is the name of the problem.
func (p *Problem) code() manage.Code { return manage.Code(strings.TrimPrefix(p.Type, problemTypes)) }

// Error implements huma.StatusError.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problemOf is the problem that an error of the Service is.
func problemOf(err error) *Problem {
	p := newProblem(manage.CodeOf(err), "")
	if e := manage.AsError(err); e != nil {
		p.Detail, p.Errors = e.Detail, e.Fields
	}
	return p
}

// write writes the problem as a response.
func (p *Problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if it fails
}

// setUpHuma has huma's own errors be Problems, and names of members compared by case:
// "Name" is not "name". huma keeps both in variables of its package, so they are the
// same for every API of a process.
var setUpHuma = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		return fromHuma(status, detail, errs)
	}
})

// fromHuma is the problem that an error of huma's is: something wrong with the
// request. The details of huma have the values that were sent, which are left out.
func fromHuma(status int, detail string, errs []error) *Problem {
	code := codeOfStatus(status)
	if status == http.StatusRequestTimeout {
		code, detail = malformed, "the body did not arrive in time"
	}
	switch code {
	case malformed:
		if len(errs) > 0 {
			detail = errMalformed.Error()
		}
		return newProblem(code, detail)
	case manage.Invalid:
		detail = "the request has members that cannot be accepted"
	}
	p := newProblem(code, detail)
	for _, err := range errs {
		d, ok := err.(huma.ErrorDetailer)
		if !ok {
			continue
		}
		p.Errors = append(p.Errors, manage.FieldError{Pointer: pointerOf(d.ErrorDetail().Location), Detail: d.ErrorDetail().Message})
	}
	return p
}

// codeOfStatus is the name of the problem where the status alone is known.
func codeOfStatus(status int) manage.Code {
	switch status {
	case http.StatusBadRequest:
		return malformed
	case http.StatusUnauthorized:
		return unauthenticated
	case http.StatusForbidden:
		return manage.Forbidden
	case http.StatusNotFound:
		return manage.NotFound
	case http.StatusMethodNotAllowed:
		return methodNotAllowed
	case http.StatusRequestEntityTooLarge:
		return tooLarge
	case http.StatusUnsupportedMediaType:
		return mediaType
	case http.StatusUnprocessableEntity:
		return manage.Invalid
	case http.StatusTooManyRequests:
		return manage.RateLimited
	case http.StatusServiceUnavailable:
		return manage.StoreUnavailable
	default:
		return internal
	}
}

// pointerOf makes a JSON pointer of a location as huma has it: body.scopes[0] is
// /scopes/0, and query.limit is /query/limit.
func pointerOf(location string) string {
	location = strings.TrimPrefix(location, "body")
	location = strings.NewReplacer("~", "~0", "/", "~1").Replace(location)
	location = strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(location)
	if location != "" && location[0] != '/' {
		location = "/" + location
	}
	return location
}
