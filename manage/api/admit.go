package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"keyward/manage/fault"
	"keyward/manage/gate"
	"keyward/manage/problem"
)

// bounds are those of one request.
type bounds struct {
	body           int
	bodyTime, time time.Duration
}

// boundsOf returns the bounds of a request.
func boundsOf(r *http.Request) bounds {
	switch {
	case isImport(r):
		return bounds{maxImport, importBodyTime, importTime}
	case r.URL.Path == apiPath+bulkPath:
		return bounds{maxBulkBody, gate.BodyTime, gate.RequestTime}
	}
	return bounds{maxBody, gate.BodyTime, gate.RequestTime}
}

// overload answers a request that is not served now.
func overload(w http.ResponseWriter, detail string) {
	w.Header().Set("Retry-After", "1")
	problem.New(fault.Overloaded, detail).Write(w)
}

// admit returns the body of a request that can be served. The caller's credential was
// verified before; while the body arrived, it may have ended.
func (a *api) admit(ctx context.Context, w http.ResponseWriter, r *http.Request, c *call) ([]byte, *problem.Problem) {
	if c.actor.Session() != "" && changes(r) && !a.Origin().Same(r) {
		return nil, problem.New(problem.CrossOrigin, crossOriginDetail)
	}
	if p := ambiguous(r); p != nil {
		return nil, p
	}
	body, p := readBody(w, r)
	if p == nil && len(body) > 0 {
		p = checkMediaType(r)
	}
	if p != nil || len(body) == 0 {
		return nil, p
	}
	actor, err := a.Accounts().Renew(ctx, c.actor)
	switch {
	case err != nil:
		return nil, problem.Of(err)
	case actor.Name() == "":
		return nil, problem.New(problem.Unauthenticated, "the credential has ended while the body arrived")
	}
	c.actor = actor
	return body, nil
}

// ambiguous refuses a request that two programs could read differently: a query that
// cannot be parsed, of which one of them drops a part, and what is there twice.
func ambiguous(r *http.Request) *problem.Problem {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problem.New(problem.Malformed, "the query cannot be read")
	}
	p := problem.New(fault.Invalid, "the request has members that cannot be accepted")
	for name, values := range query {
		if len(values) > 1 {
			p.Errors = append(p.Errors, fault.FieldError{Pointer: problem.PointerOf("query." + name), Detail: "is there more than once"})
		}
	}
	for _, name := range []string{idempotencyHeader, "If-Match", "Content-Type", "Content-Encoding"} {
		if len(r.Header.Values(name)) > 1 {
			p.Errors = append(p.Errors, fault.FieldError{Pointer: problem.PointerOf("header." + name), Detail: "is there more than once"})
		}
	}
	if len(p.Errors) > 0 {
		return p
	}
	return nil
}

// readBody reads the body within its bounds, and puts it back.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *problem.Problem) {
	limit := boundsOf(r)
	body, err := gate.ReadBody(w, r, limit.body, limit.bodyTime)
	switch {
	case errors.Is(err, gate.ErrTooLarge):
		return nil, problem.New(problem.TooLarge, "")
	case err != nil:
		return nil, problem.New(problem.Malformed, err.Error())
	}
	return body, nil
}
