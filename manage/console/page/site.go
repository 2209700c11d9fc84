package page

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"keyward/authz"
	"keyward/config"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/console/static"
	"keyward/manage/console/words"
	"keyward/manage/gate"
	"keyward/manage/oauth"
	"keyward/manage/oidclogin"
	"keyward/manage/session"
	"keyward/manage/state"
)

// Config is what the pages are served by. All but Issuer, CountRequest, StaticDir, Log
// and Now are required.
type Config struct {
	// Service, Accounts and State return what is in force.
	Service  func() *manage.Service
	Accounts func() *account.Service
	State    func() *state.DB
	// Issuer returns the issuer in force, nil for none; nil: there is never one.
	Issuer func() *oauth.Service
	// Origin is where browsers find the console.
	Origin func() session.Origin
	// Settings are what the configuration in force says of the pages.
	Settings func() Settings
	// Configuration returns the configuration in force.
	Configuration func() Configuration
	// CallOf returns what the audit log says of a request whose caller is not known.
	CallOf func(*http.Request) access.Call
	// Login begins a session, as account.Service.Login does, within the limits of failed
	// attempts.
	Login func(hr *http.Request, call access.Call, user string, password, presented authz.Secret) (authz.Secret, error)
	// BeginLogin begins a login with the OpenID provider, and returns where the browser is
	// sent and its cookie. The error is one of package oidclogin, or NotFound: there is no
	// provider.
	BeginLogin func(ctx context.Context, call access.Call, o oidclogin.Options) (to string, cookie authz.Secret, err error)
	// FinishLogin ends a login with the provider, whose cookie this is and whose answer the
	// request has, within the limits of failed attempts. It returns what the login was for,
	// if that is known, and the cookie of its session. The error is one of package oidclogin
	// or a fault.
	FinishLogin func(hr *http.Request, call access.Call, cookie authz.Secret) (oidclogin.Options, authz.Secret, error)
	// Authenticate returns the actor of a request's session, or why it is denied.
	Authenticate func(*http.Request, access.Call) (access.Actor, *gate.Denial)
	// AuthenticateLink returns nil if the code of a one-time link is good, or why it is
	// denied.
	AuthenticateLink func(*http.Request, state.Purpose, authz.Secret) *gate.Denial
	// Gate bounds the requests that are served at once, those of the API included.
	Gate *gate.Gate
	// CountRequest counts a request by its route, one of a closed set, "" for none, and
	// by the status of the response; nil counts nothing.
	CountRequest func(route string, status int)
	// StaticDir is the path below which the files are that pages refer to; "" is
	// static.Dir.
	StaticDir string
	// Log is for what an operator must know; nil discards it.
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Settings are what the configuration says of the pages.
type Settings struct {
	config.Console
	// RouteScopes are those that the routes of the policy name.
	RouteScopes []string
}

// Configuration is the configuration of the server, for people.
type Configuration struct {
	File, Text string // of the file, without secrets; "": the defaults are in force
	Warnings   []string
	Since      time.Time // when it was put in force
	Version    string    // of the program
}

// Site is what all pages have in common.
type Site struct {
	Config
	static *static.Files
	routes []Route
	errors Templates
	shared Templates // of pages that several areas have
}

// NewSite returns a Site without routes.
func NewSite(cfg Config) *Site {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Site{Config: cfg, static: static.New(cmp.Or(cfg.StaticDir, static.Dir))}
	s.errors, s.shared = s.Parse(templatesIn("errors")), s.Parse(templatesIn("shared"))
	return s
}

// Static are the files that pages refer to.
func (s *Site) Static() *static.Files { return s.static }

// Words are those of the style in force.
func (s *Site) Words() *words.Words { return words.Of(s.Settings().Style) }

// Title is the name of the API.
func (s *Site) Title() string {
	if title := s.Settings().Title; title != "" {
		return title
	}
	return s.Words().Title
}

// Route is a page, or what a form is sent to.
type Route struct {
	// Pattern is a method and a path, as for http.ServeMux.
	Pattern string
	// Needs are the roles one of which the actor needs; none: any session will do. The
	// Service decides again.
	Needs access.Roles
	// Public pages are for those who have no session.
	Public bool
	// Always: the page is also for a session whose user has to change the password first.
	Always bool
	// MaxBody bounds a form; zero is gate.MaxBody.
	MaxBody int
	// Link is the purpose of a one-time link whose code is the path's value "code".
	Link state.Purpose
	// Serve answers the request, or returns why that cannot be done.
	Serve func(*Request) error
}

// method and path are the parts of the pattern.
func (r *Route) method() string { method, _, _ := strings.Cut(r.Pattern, " "); return method }
func (r *Route) path() string   { _, path, _ := strings.Cut(r.Pattern, " "); return path }

// Changes reports whether the route is one of requests that may change something.
func (r *Route) Changes() bool { return r.method() != http.MethodGet }

// Allows reports whether the actor may ask for the page.
func (r *Route) Allows(a access.Actor) bool {
	return r.Public || a.Session() != "" && (r.Always || !a.MustChange()) && (r.Needs == 0 || a.Has(r.Needs))
}

// Add adds the routes of pages.
func (s *Site) Add(routes ...Route) {
	for _, r := range routes {
		if r.Serve == nil || r.path() == "" {
			panic(fmt.Sprintf("console: the route %q is not complete", r.Pattern))
		}
		s.routes = append(s.routes, r)
	}
}

// Routes are all routes.
func (s *Site) Routes() []Route { return s.routes }

// Shows reports whether there is a page at the path that the actor may see.
func (s *Site) Shows(a access.Actor, path string) bool {
	for i := range s.routes {
		if r := &s.routes[i]; r.Pattern == http.MethodGet+" "+path {
			return r.Allows(a)
		}
	}
	return false
}

// Home is the path of the first page that the actor may see.
func (s *Site) Home(a access.Actor) string {
	for _, path := range s.Words().Home {
		if s.Shows(a, path) {
			return path
		}
	}
	return "/account"
}

// Failure logs why a request could not be answered, which its client does not learn.
func (s *Site) Failure(ctx context.Context, r *Request, err error) {
	if ctx.Err() != nil {
		return // the client is gone
	}
	s.Log.Error("console: a page failed", "route", r.route.Pattern, "request_id", r.Call.RequestID, "error", err)
}
