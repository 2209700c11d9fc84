package page

import (
	"context"
	"errors"
	"net/http"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/problem"
)

// Problem is why a request is not answered by its page, by the names of the management
// API.
type Problem struct {
	Code       fault.Code
	Detail     string // for the user; "" is that of the code
	Needs      access.Roles
	DecisionID string
	Cause      error // for the operator
}

// Error implements error.
func (p *Problem) Error() string {
	text := string(p.Code)
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	if p.Cause != nil {
		text += ": " + p.Cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// Status is the HTTP status.
func (p *Problem) Status() int { return problem.New(p.Code, "").Status }

// ProblemOf returns the problem that an error is. One that says nothing else is an
// internal error.
func ProblemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	e := fault.AsError(err)
	if e == nil {
		return &Problem{Code: problem.Internal, Cause: err}
	}
	return &Problem{Code: e.Code, Detail: e.Detail, Cause: e}
}

// errorPage is what the template of an error gets.
type errorPage struct {
	*Problem
	Heading, Text string
	RequestID     string
	Path          string // of the way on
	Way           string // what it is called
	Find          bool   // the form that finds a key
	Audit         bool   // a link to the audit log
	NeedsScopes   []string
}

// texts are what the pages of errors say, by the code.
var texts = map[fault.Code]struct{ heading, text string }{
	problem.Unauthenticated:    {"You are not signed in", "The session has ended."},
	fault.Forbidden:            {"You do not have access to this page", ""},
	fault.BeyondCaller:         {"You cannot give more than you have", ""},
	problem.CrossOrigin:        {"The form did not come from this console", "Nothing was done. A form is accepted only from a page of this console, in a browser that says so. Open the page again and send the form from there."},
	problem.Misdirected:        {"This is not the address of the console", "The host name of the request is not one by which this console is reached. An administrator can set console.public_url."},
	fault.NotFound:             {"Page not found", ""},
	problem.MethodNotAllowed:   {"Page not found", "There is no page at this address. It is where a form is sent to."},
	fault.Conflict:             {"This cannot be done now", ""},
	fault.Ended:                {"It has ended already", "What has ended stays so. Nothing was changed."},
	fault.Changed:              {"It has changed since you opened it", "Nothing was done. The form was for an earlier state: open the page again, look at what has changed, and decide again."},
	problem.IdempotencyRunning: {"The form is being carried out", "It was sent twice. Wait for a moment, and look whether it was done."},
	problem.IdempotencyReused:  {"The form was sent before", "It was carried out with other values, and cannot be used twice. Open a new form."},
	problem.TooLarge:           {"The form is too large", "Nothing was done."},
	problem.MediaType:          {"The form cannot be read", "Nothing was done. It is not what a form of this console sends."},
	problem.Malformed:          {"The request cannot be read", "Nothing was done. Open the page again."},
	fault.Invalid:              {"The request cannot be accepted", ""},
	fault.RateLimited:          {"Too many requests", "Wait for a minute, and try again."},
	fault.Overloaded:           {"The console is busy", "Too much is being done at once. Wait for a moment, and try again."},
	fault.StoreUnavailable:     {"The console is unavailable", "The store cannot be read or written. API requests are still checked, with the data that is in memory."},
	fault.AuditUnavailable:     {"The console cannot write its audit log", "Nothing was changed. Credentials can still be ended; nothing can be created."},
	problem.Internal:           {"The page failed", "The log of the server says why, under the id below."},
}

// Fail answers with the page of an error.
func (r *Request) Fail(err error) {
	p := ProblemOf(err)
	status := p.Status()
	if status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		r.Failure(r.Context(), r, err)
	}
	say := texts[p.Code]
	e := errorPage{Problem: p, Heading: say.heading, Text: say.text, RequestID: r.Call.RequestID, Path: "/", Way: "Try again"}
	if e.Text == "" {
		e.Text = sentence("", p.Detail)
	}
	name := "error.html"
	signedIn := r.Actor.Session() != ""
	if signedIn {
		e.Path, e.Way = r.Home(r.Actor), "Back to the first page"
		e.NeedsScopes = access.Scopes(p.Needs)
	}
	if p.Code == fault.NotFound {
		name = "404.html"
		e.Find, e.Audit = signedIn && r.Can("/keys"), signedIn && r.Can("/audit")
	}
	if status == http.StatusServiceUnavailable && r.w.Header().Get("Retry-After") == "" {
		r.w.Header().Set("Retry-After", "1")
	}
	head := Head{Title: e.Heading, Status: status, Bare: !signedIn}
	if err := r.Render(r.errors, name, head, e); err != nil {
		r.Log.Error("console: a page of an error failed", "error", err)
		http.Error(r.w, "the page failed", http.StatusInternalServerError)
	}
}
