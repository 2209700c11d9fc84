package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"keyward/manage/access"
	"keyward/manage/console/accountpages"
	"keyward/manage/console/keypages"
	"keyward/manage/console/operatorpages"
	"keyward/manage/console/page"
	"keyward/manage/console/projectpages"
	"keyward/manage/console/signin"
	"keyward/manage/console/tokenpages"
	"keyward/manage/console/userpages"
	"keyward/manage/fault"
	"keyward/manage/gate"
	"keyward/manage/problem"
	"keyward/manage/state"
	"keyward/store/audit"
)

// Console serves the pages.
type Console struct {
	site   *page.Site
	mux    *http.ServeMux // finds the route of a request; it serves nothing
	routes map[string]*page.Route
}

// New returns the console's handler.
func New(cfg page.Config) *Console {
	return build(cfg, signin.Routes, accountpages.Routes, keypages.Routes, operatorpages.Routes, projectpages.Routes, tokenpages.Routes, userpages.Routes)
}

// build returns a console of the areas.
func build(cfg page.Config, areas ...func(*page.Site) []page.Route) *Console {
	c := &Console{site: page.NewSite(cfg), mux: http.NewServeMux(), routes: map[string]*page.Route{}}
	for _, area := range areas {
		c.site.Add(area(c.site)...)
	}
	for i, route := range c.site.Routes() {
		c.mux.HandleFunc(route.Pattern, keepMatched)
		c.routes[route.Pattern] = &c.site.Routes()[i]
	}
	return c
}

// Routes are all pages, and what forms are sent to.
func (c *Console) Routes() []page.Route { return c.site.Routes() }

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	page.Secure(answer.Header(), "")
	handler, pattern := c.mux.Handler(hr)
	route := c.routes[pattern]
	if count := c.site.CountRequest; count != nil {
		defer func() { count(pattern, answer.status) }()
	}
	r := c.site.NewRequest(answer, hr, route, c.site.CallOf(hr))
	defer func() {
		if p := recover(); p != nil && answer.wrote {
			panic(p) // the answer is not complete, and ends so
		} else if p != nil {
			r.Fail(fmt.Errorf("panic: %v", p))
		}
	}()
	if err := c.serve(answer, r, handler); err != nil {
		if answer.wrote {
			r.Failure(hr.Context(), r, err)
			return
		}
		r.Fail(err)
	}
}

// serve finds out whether the request may be answered, and has its route answer it.
func (c *Console) serve(w *statusWriter, r *page.Request, found http.Handler) error {
	switch {
	case !c.site.Origin().Serves(r.HTTP):
		return &page.Problem{Code: problem.Misdirected}
	case c.site.Static().Serve(w, r.HTTP):
		return nil
	}
	if _, err := url.ParseQuery(r.HTTP.URL.RawQuery); err != nil {
		return &page.Problem{Code: problem.Malformed}
	}
	if !c.site.Gate.Enter() {
		return &page.Problem{Code: fault.Overloaded}
	}
	defer c.site.Gate.Leave()
	ctx, cancel := context.WithTimeout(r.HTTP.Context(), gate.RequestTime)
	defer cancel()
	r.HTTP = r.HTTP.WithContext(ctx)
	matched := c.match(r.HTTP)
	if r.Route() == nil || matched == nil {
		return c.notFound(w, r, found)
	}
	r.HTTP = matched
	if r.Route().Public {
		return c.servePublic(w, r)
	}
	return c.serveSession(w, r)
}

// notFound answers what has no page, in the way of the caller: with a session, the page
// has its navigation.
func (c *Console) notFound(w http.ResponseWriter, r *page.Request, found http.Handler) error {
	answer := headOnly{header: http.Header{}}
	found.ServeHTTP(&answer, r.HTTP)
	code := fault.NotFound
	if answer.status == http.StatusMethodNotAllowed {
		code = problem.MethodNotAllowed
		w.Header().Set("Allow", answer.header.Get("Allow"))
	}
	if hasCredential(r) {
		if actor, denial := c.site.Authenticate(r.HTTP, r.Call); denial == nil && !actor.MustChange() {
			r.Actor = actor
		}
	}
	return &page.Problem{Code: code}
}

// match returns the request as its route has it, with the values of its path; nil if the
// path is another one than the pattern's, which the mux would redirect to.
func (c *Console) match(hr *http.Request) *http.Request {
	var matched *http.Request
	c.mux.ServeHTTP(&headOnly{header: http.Header{}}, hr.WithContext(context.WithValue(hr.Context(), matchedKey{}, &matched)))
	return matched
}

type matchedKey struct{}

// keepMatched is the handler of every route of the mux.
func keepMatched(_ http.ResponseWriter, hr *http.Request) {
	*hr.Context().Value(matchedKey{}).(**http.Request) = hr
}

// servePublic serves those who have no session. They share the places of one caller.
func (c *Console) servePublic(w http.ResponseWriter, r *page.Request) error {
	if !c.site.Gate.Take(gate.Stranger) {
		return &page.Problem{Code: fault.Overloaded}
	}
	defer c.site.Gate.Give(gate.Stranger)
	route := r.Route()
	if route.Changes() && !c.site.Origin().Same(r.HTTP) {
		return &page.Problem{Code: problem.CrossOrigin}
	}
	if route.Link != "" {
		if err := c.authenticateLink(w, r, route.Link); err != nil {
			return err
		}
	}
	if route.Changes() {
		if err := readForm(w, r); err != nil {
			return err
		}
	}
	return route.Serve(r)
}

// authenticateLink verifies the code of a one-time link before the form is read. One
// that is not good is not there.
func (c *Console) authenticateLink(w http.ResponseWriter, r *page.Request, purpose state.Purpose) error {
	r.SetCode(codeOf(r.HTTP))
	denial := c.site.AuthenticateLink(r.HTTP, purpose, r.Code())
	switch {
	case denial == nil:
		return nil
	case denial.Status == http.StatusUnauthorized:
		return &page.Problem{Code: fault.NotFound, DecisionID: denial.DecisionID}
	default:
		return denied(w, denial)
	}
}

// serveSession serves the user of a session.
func (c *Console) serveSession(w http.ResponseWriter, r *page.Request) error {
	if !hasCredential(r) {
		return toLogin(r)
	}
	actor, denial := c.site.Authenticate(r.HTTP, r.Call)
	switch {
	case denial != nil && denial.Status == http.StatusUnauthorized && r.HTTP.Header.Get("Authorization") == "":
		r.ClearCookie()
		return toLogin(r)
	case denial != nil:
		return denied(w, denial)
	case actor.Session() == "":
		return &page.Problem{Code: fault.Forbidden, Detail: "pages need a session: a key is for the management API"}
	}
	if !c.site.Gate.Take(actor.Name()) {
		return &page.Problem{Code: fault.Overloaded}
	}
	defer c.site.Gate.Give(actor.Name())
	r.Actor = actor
	if err := c.mayAsk(r); err != nil {
		return err
	}
	if actor.MustChange() && !r.Route().Always {
		return r.SeeOther("/account/password")
	}
	if r.Route().Changes() {
		if err := c.readSessionForm(w, r); err != nil {
			return err
		}
		if proved, err := r.Prove(); err != nil || !proved {
			return err
		}
	}
	err := r.Route().Serve(r)
	if e := fault.AsError(err); e != nil && e.Code == fault.Reauthenticate {
		return r.AskForProof("")
	}
	return err
}

// mayAsk refuses a request that the route is not for, and records it.
func (c *Console) mayAsk(r *page.Request) error {
	refused := fault.Code("")
	var err error
	switch route := r.Route(); {
	case route.Changes() && !c.site.Origin().Same(r.HTTP):
		refused, err = problem.CrossOrigin, &page.Problem{Code: problem.CrossOrigin}
	case !r.Actor.MustChange() && !route.Allows(r.Actor):
		refused, err = fault.Forbidden, &page.Problem{Code: fault.Forbidden, Needs: route.Needs}
	}
	if refused != "" {
		r.Service().Refuse(context.WithoutCancel(r.Context()), r.Actor, audit.Request, r.HTTP.Method+" "+r.HTTP.URL.Path, refused)
	}
	return err
}

// readSessionForm reads the form. The session was verified before; while the form
// arrived, it may have ended.
func (c *Console) readSessionForm(w http.ResponseWriter, r *page.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	actor, err := r.Accounts().Renew(r.Context(), r.Actor)
	switch {
	case err != nil:
		return err
	case !actor.Known():
		r.Actor = access.Actor{}
		r.ClearCookie()
		return toLogin(r)
	}
	r.Actor = actor
	return nil
}

// toLogin sends the browser to the login, and from there back to the page; what a form
// had is lost.
func toLogin(r *page.Request) error {
	if r.HTTP.Method != http.MethodGet && r.HTTP.Method != http.MethodHead || r.HTTP.URL.Path == "/" {
		return r.SeeOther("/login")
	}
	return r.SeeOther("/login?next=" + url.QueryEscape(r.HTTP.URL.RequestURI()))
}

// denied returns why a credential is denied.
func denied(w http.ResponseWriter, d *gate.Denial) error {
	for name, values := range d.Header {
		w.Header()[name] = values
	}
	return &page.Problem{Code: problem.CodeOfStatus(d.Status), Detail: d.Detail, DecisionID: d.DecisionID, Cause: errors.New(d.Detail)}
}
