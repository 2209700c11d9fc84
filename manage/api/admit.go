package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"keyward/manage/fault"
	"keyward/manage/problem"
)

// Bounds of what callers may make the API keep and do.
const (
	// concurrency is how many requests are served at once, and callerShare how many of
	// one caller, so that one that sends its bodies slowly does not keep out the others.
	// Changes wait for each other's sync anyway.
	concurrency = 64
	callerShare = 16
	// requestTime is how long a request may take, waiting for the store included, and
	// bodyTime how long its body may take to arrive.
	requestTime = 10 * time.Second
	bodyTime    = 5 * time.Second
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
		return bounds{maxBulkBody, bodyTime, requestTime}
	}
	return bounds{maxBody, bodyTime, requestTime}
}

// shares counts the requests in progress of each caller.
type shares struct {
	mu    sync.Mutex
	taken map[string]int
}

// take reports whether one more request of the caller may be served; then give must
// follow.
func (s *shares) take(caller string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[caller] == callerShare {
		return false
	}
	if s.taken == nil {
		s.taken = map[string]int{}
	}
	s.taken[caller]++
	return true
}

func (s *shares) give(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[caller]--; s.taken[caller] == 0 {
		delete(s.taken, caller)
	}
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
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(limit.bodyTime)) // a body from memory has none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit.body)))
	_ = connection.SetReadDeadline(time.Time{})
	switch _, long := errors.AsType[*http.MaxBytesError](err); {
	case long:
		return nil, problem.New(problem.TooLarge, "")
	case err != nil:
		return nil, problem.New(problem.Malformed, "the body did not arrive in time")
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return body, nil
}
