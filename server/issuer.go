package server

import (
	"crypto/rand"
	"crypto/tls"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"keyward/authz"
	"keyward/config"
	"keyward/engine/issuer"
	"keyward/extauthz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/gate"
	"keyward/manage/oauth"
	"keyward/manage/oauth/loginapi"
	"keyward/manage/oauth/pages"
	"keyward/manage/oauth/protocol"
	"keyward/manage/session"
	"keyward/store/audit"
)

// issuerListener serves logins, and the public keys of the tokens that come of them.
func (s *Server) issuerListener(security *tls.Config) *listener {
	return s.managingListener(listenerIssuer, s.issuing(), security)
}

// keySetAge is how long a client may keep the public keys: shorter than a key is published
// before it signs.
const keySetAge = "public, max-age=300"

// issuing returns the handler of the issuer's endpoints.
func (s *Server) issuing() http.Handler {
	mux := http.NewServeMux()
	logins := loginapi.New(loginapi.Config{
		Service: func() *oauth.Service { return s.engine.Current().Issuer().Service },
		Settings: func() loginapi.Settings {
			settings := &s.engine.Current().Issuer().Settings
			return loginapi.Settings{Cookie: settings.Cookie, RefreshTTL: settings.RefreshTTL, Origin: session.Origin{Public: settings.URL}}
		},
		Gate: gate.New(), CallOf: s.callOfIssuer,
		Check: s.checkLogin, Deny: s.denyLogin,
	})
	for _, path := range []string{loginapi.LoginPath, loginapi.RefreshPath, loginapi.LogoutPath} {
		mux.Handle(path, s.overHTTPS(logins))
	}
	clients := s.newOAuthEndpoints()
	for _, path := range protocol.Paths() {
		mux.Handle(path, s.overHTTPS(clients))
	}
	mux.Handle(extauthz.VerifyPath, extauthz.NewHTTP(s.handler))
	mux.HandleFunc("GET "+protocol.KeySetPath, func(w http.ResponseWriter, _ *http.Request) {
		document := s.engine.Current().Issuer().Keys.Public()
		if document == nil {
			notAvailable(w)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", keySetAge)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = w.Write(document)
	})
	return mux
}

// overHTTPS refuses requests that reached the proxy over http, if require_https is set: they
// have passwords, codes or tokens. The documents under /.well-known/ are public.
func (s *Server) overHTTPS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		var r authz.Request
		checks := s.engine.Current().Handler()
		checks.ReadManage(&r, hr)
		if !checks.Checker.AllowsScheme(&r) && !strings.HasPrefix(hr.URL.Path, "/.well-known/") {
			s.denyLogin(w, hr, authz.HTTPSRequired)
			return
		}
		next.ServeHTTP(w, hr)
	})
}

// checkLogin has the secret of a login verified as every credential is: limited, counted and
// logged. It returns the denial, nil for none.
func (s *Server) checkLogin(hr *http.Request, path string, secret authz.Secret, v authz.Verifier) func(http.ResponseWriter) {
	var r authz.Request
	current := s.engine.Current()
	handler := &current.Issuer().Handler
	d := handler.CheckManageSecret(hr.Context(), &r, hr, path, secret, v)
	if d.Allowed() {
		return nil
	}
	if d.Reason != authz.WrongPassword { // which was counted where it was found out
		s.countUnknown(current.Service(), &r, d, audit.ViaIssuer)
	}
	return func(w http.ResponseWriter) { handler.Deny(w, &r, d) }
}

// denyLogin answers for another reason than a credential.
func (s *Server) denyLogin(w http.ResponseWriter, hr *http.Request, reason authz.Reason) {
	var r authz.Request
	handler := &s.engine.Current().Issuer().Handler
	handler.ReadManage(&r, hr)
	handler.Deny(w, &r, &authz.Decision{Reason: reason, ID: rand.Text(), At: time.Now()})
}

func (s *Server) callOfIssuer(hr *http.Request) access.Call { return s.callBy(hr, audit.ViaIssuer) }

// oauthEndpoints are the endpoints of OAuth, made again for each configuration.
type oauthEndpoints struct {
	server *Server
	bounds *gate.Gate
	pages  *pages.Pages
	latest atomic.Pointer[oauthGeneration]
}

// oauthGeneration is what was made for one issuer.
type oauthGeneration struct {
	of       *issuer.Issuer
	protocol *protocol.Protocol
}

func (s *Server) newOAuthEndpoints() *oauthEndpoints {
	site := page.NewSite(page.Config{
		Service: func() *manage.Service { return s.engine.Current().Service() },
		Settings: func() page.Settings {
			settings, _ := s.engine.Current().ConsoleSettings()
			settings.OIDC = config.OIDC{} // by which users log in to the console alone
			return page.Settings{Console: settings}
		},
		CallOf: s.callOfIssuer, StaticDir: "/oauth/static/", Log: s.logger,
	})
	return &oauthEndpoints{server: s, bounds: gate.New(), pages: pages.New(site)}
}

// ServeHTTP implements http.Handler.
func (o *oauthEndpoints) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	if o.pages.ServeStatic(w, hr) {
		return
	}
	endpoints, err := o.current()
	if err != nil {
		o.server.logger.Error("the endpoints of OAuth are not available", "error", err)
		notAvailable(w)
		return
	}
	endpoints.ServeHTTP(w, hr)
}

// notAvailable answers while the signing keys are not known.
func notAvailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "2")
	http.Error(w, "not available", http.StatusServiceUnavailable)
}

// current returns the endpoints of the issuer in force.
func (o *oauthEndpoints) current() (*protocol.Protocol, error) {
	in := o.server.engine.Current().Issuer()
	if made := o.latest.Load(); made != nil && made.of == in {
		return made.protocol, nil
	}
	made, err := protocol.New(protocol.Config{
		Service: in.Service, Keys: in.Keys, Pages: o.pages, Gate: o.bounds, Origin: session.Origin{Public: in.Settings.URL}, CallOf: o.server.callOfIssuer,
		Check: o.server.checkClient, Login: o.server.loginToIssuer, CheckToken: in.CheckToken, AllowsOrigin: in.Clients.AllowsOrigin,
		Resources: in.Resources(), Log: o.server.logger,
	})
	if err != nil {
		return nil, err
	}
	o.latest.Store(&oauthGeneration{in, made})
	return made, nil
}

// checkClient has the secret of a client verified as every credential is.
func (s *Server) checkClient(hr *http.Request, path string, secret authz.Secret, v authz.Verifier) *protocol.Denial {
	var r authz.Request
	current := s.engine.Current()
	d := current.Issuer().Handler.CheckManageSecret(hr.Context(), &r, hr, path, secret, v)
	if d.Allowed() {
		return nil
	}
	s.countUnknown(current.Service(), &r, d, audit.ViaIssuer)
	denial := &protocol.Denial{Reason: d.Reason}
	if wait := d.Quota.RetryAfter; wait > 0 {
		denial.RetryAfter = strconv.Itoa(int(math.Ceil(wait.Seconds())))
	}
	return denial
}

// loginToIssuer begins a session of the issuer's pages.
func (s *Server) loginToIssuer(hr *http.Request, call access.Call, user string, password, presented authz.Secret) (authz.Secret, error) {
	current := s.engine.Current()
	return s.loginTo(current.Issuer().Accounts, current, hr, protocol.LoginPath, &loginVerifier{call: call, user: user, presented: presented}, password)
}
