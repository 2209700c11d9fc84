package problem

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	"keyward/manage/fault"

	"github.com/danielgtaylor/huma/v2"
)

// Problem is the body of every error (RFC 9457). It never has a value that the
// caller sent.
type Problem struct {
	Type   string             `json:"type" format:"uri" doc:"https://keyward.dev/errors/NAME; the names are in docs/api.md."`
	Title  string             `json:"title" doc:"What the type means, always the same."`
	Status int                `json:"status" doc:"The HTTP status."`
	Detail string             `json:"detail,omitempty" doc:"What happened here, for people."`
	Errors []fault.FieldError `json:"errors,omitempty" doc:"Of the type invalid: everything that is wrong, by JSON pointer."`
	// DecisionID is the id under which the log has a denied credential.
	DecisionID string `json:"decision_id,omitempty" doc:"The id under which the log has the denial of a credential."`
}

const problemTypes = "https://keyward.dev/errors/"

// The names of problems beside those of package fault.
const (
	Unauthenticated  fault.Code = "unauthenticated"
	Malformed        fault.Code = "malformed"
	CrossOrigin      fault.Code = "cross_origin"
	Misdirected      fault.Code = "misdirected"
	MethodNotAllowed fault.Code = "method_not_allowed"
	MediaType        fault.Code = "media_type"
	TooLarge         fault.Code = "too_large"
	Internal         fault.Code = "internal"

	IdempotencyRunning fault.Code = "idempotency_running"
	IdempotencyReused  fault.Code = "idempotency_reused"
)

// kinds are the problems by name.
var kinds = map[fault.Code]struct {
	status int
	title  string
}{
	Unauthenticated:        {http.StatusUnauthorized, "No valid credential"},
	fault.Forbidden:        {http.StatusForbidden, "Not permitted"},
	CrossOrigin:            {http.StatusForbidden, "From another origin"},
	fault.Reauthenticate:   {http.StatusForbidden, "Log in again"},
	Misdirected:            {http.StatusMisdirectedRequest, "Not a host name of the console"},
	fault.BeyondCaller:     {http.StatusForbidden, "More than the caller has"},
	fault.NotFound:         {http.StatusNotFound, "Not found"},
	MethodNotAllowed:       {http.StatusMethodNotAllowed, "Method not allowed"},
	fault.Conflict:         {http.StatusConflict, "Conflict"},
	fault.Ended:            {http.StatusConflict, "Already ended"},
	fault.Changed:          {http.StatusPreconditionFailed, "Changed meanwhile"},
	IdempotencyRunning:     {http.StatusConflict, "Being carried out"},
	IdempotencyReused:      {http.StatusUnprocessableEntity, "Idempotency-Key of another request"},
	TooLarge:               {http.StatusRequestEntityTooLarge, "Too large"},
	MediaType:              {http.StatusUnsupportedMediaType, "Media type not accepted"},
	Malformed:              {http.StatusBadRequest, "Malformed"},
	fault.Invalid:          {http.StatusUnprocessableEntity, "Invalid"},
	fault.RateLimited:      {http.StatusTooManyRequests, "Too many requests"},
	fault.StoreUnavailable: {http.StatusServiceUnavailable, "Store unavailable"},
	fault.AuditUnavailable: {http.StatusServiceUnavailable, "Audit log unavailable"},
	fault.Overloaded:       {http.StatusServiceUnavailable, "Overloaded"},
	Internal:               {http.StatusInternalServerError, "Internal error"},
}

// New returns the problem of that name. One that is not known is an internal error.
func New(code fault.Code, detail string) *Problem {
	kind, known := kinds[code]
	if !known {
		code, kind = Internal, kinds[Internal]
	}
	return &Problem{Type: problemTypes + string(code), Title: kind.title, Status: kind.status, Detail: detail}
}

// Code returns the name of the problem.
func (p *Problem) Code() fault.Code { return fault.Code(strings.TrimPrefix(p.Type, problemTypes)) }

// ErrMalformed says nothing of the body, which may have a password.
var ErrMalformed = errors.New("the body is not one JSON object without repeated members")

// Error implements huma.StatusError.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Of returns the problem that an error of the managing half is.
func Of(err error) *Problem {
	p := New(fault.CodeOf(err), "")
	if e := fault.AsError(err); e != nil {
		p.Detail, p.Errors = e.Detail, e.Fields
	}
	return p
}

// Write writes the problem as a response.
func (p *Problem) Write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if it fails
}

// SetUpHuma has huma's own errors be Problems, and names of members compared by case:
// "Name" is not "name". huma keeps both in variables of its package, so they are the
// same for every API of a process.
var SetUpHuma = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		return FromHuma(status, detail, errs)
	}
})

// FromHuma returns the problem that an error of huma's is: something wrong with the
// request. The details of huma have the values that were sent, which are left out.
func FromHuma(status int, detail string, errs []error) *Problem {
	code := CodeOfStatus(status)
	if status == http.StatusRequestTimeout {
		code, detail = Malformed, "the body did not arrive in time"
	}
	switch code {
	case Malformed:
		if len(errs) > 0 {
			detail = ErrMalformed.Error()
		}
		return New(code, detail)
	case fault.Invalid:
		detail = "the request has members that cannot be accepted"
	}
	p := New(code, detail)
	for _, err := range errs {
		d, ok := err.(huma.ErrorDetailer)
		if !ok {
			continue
		}
		p.Errors = append(p.Errors, fault.FieldError{Pointer: PointerOf(d.ErrorDetail().Location), Detail: d.ErrorDetail().Message})
	}
	return p
}

// CodeOfStatus returns the name of the problem where the status alone is known.
func CodeOfStatus(status int) fault.Code {
	switch status {
	case http.StatusBadRequest:
		return Malformed
	case http.StatusUnauthorized:
		return Unauthenticated
	case http.StatusForbidden:
		return fault.Forbidden
	case http.StatusNotFound:
		return fault.NotFound
	case http.StatusMethodNotAllowed:
		return MethodNotAllowed
	case http.StatusRequestEntityTooLarge:
		return TooLarge
	case http.StatusUnsupportedMediaType:
		return MediaType
	case http.StatusUnprocessableEntity:
		return fault.Invalid
	case http.StatusTooManyRequests:
		return fault.RateLimited
	case http.StatusServiceUnavailable:
		return fault.StoreUnavailable
	default:
		return Internal
	}
}

// PointerOf makes a JSON pointer of a location as huma has it: body.scopes[0] is
// /scopes/0, and query.limit is /query/limit.
func PointerOf(location string) string {
	location = strings.TrimPrefix(location, "body")
	location = strings.NewReplacer("~", "~0", "/", "~1").Replace(location)
	location = strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(location)
	if location != "" && location[0] != '/' {
		location = "/" + location
	}
	return location
}
