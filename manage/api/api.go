package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/fault"
	"keyward/manage/gate"
	"keyward/manage/problem"
	"keyward/manage/session"
	"keyward/manage/state"
	"keyward/store/audit"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Config is what the API is made of. All but CountFailure, Log and Now are required.
type Config struct {
	// Service returns the service in force.
	Service func() *manage.Service
	// Accounts returns the service of sessions and links in force.
	Accounts func() *account.Service
	// Authenticate returns the actor that a request's credential stands for, or why it
	// is denied. It is called before the body is read.
	Authenticate func(*http.Request) (access.Actor, *gate.Denial)
	// AuthenticateLink returns the call of a request with a one-time link whose code is
	// good, or why it is denied. It is called before the body is read.
	AuthenticateLink func(*http.Request, state.Purpose, authz.Secret) (access.Call, *gate.Denial)
	// Origin is where browsers find the API.
	Origin func() session.Origin
	// LoginIssuer returns the OpenID provider by which people log in; "" if there is none.
	LoginIssuer func() string
	// CountFailure counts a secret of no key that a caller had verified, as a failed
	// attempt of its address; nil counts nothing.
	CountFailure func(*http.Request)
	// CountRequest counts a request by its route, which is one of a closed set, "" for
	// none, and by the status of the response; nil counts nothing.
	CountRequest func(route string, status int)
	// State remembers requests with an Idempotency-Key.
	State func() *state.DB
	// Gate bounds the requests that are served at once.
	Gate *gate.Gate
	// Log is for what an operator must know; nil discards it.
	Log *slog.Logger
	// Version is that of the program, for the OpenAPI document.
	Version string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// api is the Handler.
type api struct {
	Config
	mux       *http.ServeMux
	importing chan struct{} // has one element while keys are imported
}

// New returns the handler of the API.
func New(cfg Config) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &api{Config: cfg, mux: http.NewServeMux(), importing: make(chan struct{}, 1)}
	a.register()
	return a
}

// register adds the operations to the mux.
func (a *api) register() {
	problem.SetUpHuma()
	cfg := huma.DefaultConfig("Keyward management API", a.Version)
	cfg.Info.Description = "Keys, users, projects, OAuth clients and the audit log. docs/api.md is the guide."
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "/api/openapi", "", ""
	cfg.CreateHooks = nil // no $schema members and links
	cfg.RejectUnknownQueryParameters = true
	cfg.Formats = map[string]huma.Format{"application/json": strictFormat(), "json": strictFormat()}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key":     {Type: "http", Scheme: "bearer", Description: "A key of Keyward's."},
		"session": {Type: "apiKey", In: "cookie", Name: session.CookieName, Description: "A login to the console. Changes need Sec-Fetch-Site: same-origin, or Origin."},
	}
	cfg.Security = []map[string][]string{{"key": {}}, {"session": {}}}
	h := humago.New(a.mux, cfg)
	a.registerKeys(h)
	a.registerKeyChanges(h)
	a.registerBulk(h)
	a.registerImport(h)
	a.registerOwn(h)
	a.registerObserved(h)
	a.registerUsers(h)
	a.registerProjects(h)
	a.registerClients(h)
	a.registerAudit(h)
	a.registerSessions(h)
	a.registerRevocations(h)
	a.registerLinks(h)
}

// documentPath serves the OpenAPI document, which says nothing of this installation.
const documentPath = "/api/openapi.json"

// ServeHTTP implements http.Handler. Every answer is JSON, and none is to be kept.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	if a.CountRequest != nil {
		_, route := a.mux.Handler(r)
		defer func() { a.CountRequest(route, answer.status) }()
	}
	a.answer(answer, r)
}

func (a *api) answer(w *statusWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !a.Origin().Serves(r) {
		problem.New(problem.Misdirected, "this is not a host name of the console").Write(w)
		return
	}
	if r.URL.Path == documentPath {
		// It is long, needs no credential, and has a reader that may be slow: that must
		// not take the place of a request.
		a.serve(w, r)
		return
	}
	if !a.Gate.Enter() {
		overload(w, "too many requests are being served")
		return
	}
	defer a.Gate.Leave()
	if purpose, token, ok := linkOf(r); ok {
		a.serveLink(w, r, purpose, token)
		return
	}
	actor, denial := a.Authenticate(r)
	if denial != nil {
		writeDenial(w, denial)
		return
	}
	if !a.Gate.Take(actor.Name()) {
		overload(w, "too many requests of this caller are being served")
		return
	}
	defer a.Gate.Give(actor.Name())
	ctx, cancel := context.WithTimeout(r.Context(), boundsOf(r).time)
	defer cancel()
	c := &call{log: a.Log, actor: actor, base: a.Origin().Base(r)}
	r = r.WithContext(context.WithValue(ctx, callKey{}, c))
	a.respond(w, r, c)
	if c.failed && a.CountFailure != nil {
		a.CountFailure(r)
	}
	if !c.reached && w.status >= 400 && w.status < 500 {
		code := problem.CodeOfStatus(w.status)
		if c.unadmitted != "" {
			code = c.unadmitted
		}
		a.Service().Refuse(context.WithoutCancel(ctx), actor, audit.Request, r.Method+" "+r.URL.Path, code)
	}
}

// respond admits a request of a known caller, and carries it out.
func (a *api) respond(w http.ResponseWriter, r *http.Request, c *call) {
	if !a.hasOperation(r) {
		a.serve(w, r)
		return
	}
	if isImport(r) {
		if !a.beginImport(w, r, c) {
			return
		}
		defer func() { <-a.importing }()
	}
	body, refused := a.admit(r.Context(), w, r, c)
	switch {
	case refused != nil:
		c.unadmitted = refused.Code()
		refused.Write(w)
	case idempotent(r):
		a.serveOnce(w, r, c, body)
	default:
		a.serve(w, r)
	}
}

// serve hands the request to its operation. What has none is a problem too: the mux
// would answer in plain text.
func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	if a.hasOperation(r) {
		a.mux.ServeHTTP(w, r)
		return
	}
	handler, _ := a.mux.Handler(r)
	answer := headOnly{header: http.Header{}}
	handler.ServeHTTP(&answer, r)
	code := fault.NotFound
	if answer.status == http.StatusMethodNotAllowed {
		code = problem.MethodNotAllowed
		w.Header().Set("Allow", answer.header.Get("Allow"))
	}
	problem.New(code, "").Write(w)
}

// hasOperation reports whether the API has the resource and the method.
func (a *api) hasOperation(r *http.Request) bool {
	_, pattern := a.mux.Handler(r)
	return pattern != ""
}

// headOnly keeps the status and the header of a response.
type headOnly struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (h *headOnly) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter.
func (h *headOnly) WriteHeader(status int) { h.status = status }

// Write implements http.ResponseWriter.
func (h *headOnly) Write(p []byte) (int, error) { return len(p), nil }

// writeDenial writes the denial as a problem.
func writeDenial(w http.ResponseWriter, d *gate.Denial) {
	for name, values := range d.Header {
		w.Header()[name] = values
	}
	p := problem.New(problem.CodeOfStatus(d.Status), d.Detail)
	p.DecisionID = d.DecisionID
	p.Write(w)
}

// call is what a request's context has.
type call struct {
	log   *slog.Logger
	actor access.Actor
	// reached is set once an operation has begun: from then on it is the Service that
	// records a refusal.
	reached bool
	// failed is set where a secret was tried that is of no key.
	failed bool
	// recordID is the id of the record that the request makes, if it has an
	// Idempotency-Key; resumed means that an earlier attempt may have made it.
	recordID string
	resumed  bool
	// made returns the entries of what attempts of the request changed; nil if it has no
	// Idempotency-Key.
	made func(context.Context) ([]audit.Entry, error)
	// unadmitted is why the request was not admitted; "" if it was.
	unadmitted fault.Code
	// base is what a link to the console begins with.
	base string
	// link is the call of a request with a one-time link, and token its code.
	link  access.Call
	token authz.Secret
	// refused is why a request that was carried out before is not answered again.
	refused *problem.Problem
}

// failure logs why an operation could not be carried out, which the caller does not
// learn. A client that is gone is not a failure.
func (c *call) failure(operation string, err error) {
	if err == nil || asProblem(err).Status < http.StatusInternalServerError || errors.Is(err, context.Canceled) || errors.Is(err, fault.ErrDryRun) {
		return
	}
	c.log.Error("management API: a request failed", "operation", operation, "error", errors.Join(err, errors.Unwrap(err)))
}

type callKey struct{}

// actorOf is the actor of the request; the zero Actor, which may do nothing, if there
// is none.
func actorOf(ctx context.Context) access.Actor {
	if c := callOf(ctx); c != nil {
		return c.actor
	}
	return access.Actor{}
}

// reached notes that an operation has begun.
func reached(ctx context.Context) {
	if c := callOf(ctx); c != nil {
		c.reached = true
	}
}

// failed notes that a secret was tried that is of no key.
func failed(ctx context.Context) {
	if c := callOf(ctx); c != nil {
		c.failed = true
	}
}

// callOf is what the context has of the request; nil if it has nothing.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// statusWriter keeps the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
