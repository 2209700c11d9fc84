package server

import (
	"crypto/rand"
	"crypto/tls"
	"net/http"
	"time"

	"keyward/authz"
	"keyward/extauthz"
	"keyward/manage/access"
	"keyward/manage/gate"
	"keyward/manage/oauth"
	"keyward/manage/oauth/loginapi"
	"keyward/manage/session"
	"keyward/store/audit"
)

// issuerListener serves logins, and the public keys of the tokens that come of them.
func (s *Server) issuerListener(security *tls.Config) *listener {
	return listenerOf(&http.Server{
		Handler:           limitStream(s.issuing(), consoleTimeout),
		TLSConfig:         security,
		ErrorLog:          s.errorLog(listenerIssuer),
		ReadHeaderTimeout: handshakeTimeout,
		ReadTimeout:       consoleTimeout,
		WriteTimeout:      consoleTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		// OPTIONS * is a request of a caller as any other.
		DisableGeneralOptionsHandler: true,
	})
}

// keySetPath is where OpenID providers have their public keys by convention, and keySetAge how
// long a client may keep them: shorter than a key is published before it signs.
const (
	keySetPath = "/.well-known/jwks.json"
	keySetAge  = "public, max-age=300"
)

// issuing returns the handler of the issuer's endpoints.
func (s *Server) issuing() http.Handler {
	mux := http.NewServeMux()
	logins := loginapi.New(loginapi.Config{
		Service: func() *oauth.Service { return s.engine.Current().Issuer().Service },
		Settings: func() loginapi.Settings {
			settings := &s.engine.Current().Issuer().Settings
			return loginapi.Settings{Cookie: settings.Cookie, RefreshTTL: settings.RefreshTTL, Origin: session.Origin{Public: settings.URL}}
		},
		Gate: gate.New(), CallOf: func(hr *http.Request) access.Call { return s.callBy(hr, audit.ViaIssuer) },
		Check: s.checkLogin, Deny: s.denyLogin,
	})
	for _, path := range []string{loginapi.LoginPath, loginapi.RefreshPath, loginapi.LogoutPath} {
		mux.Handle(path, logins)
	}
	mux.Handle(extauthz.VerifyPath, extauthz.NewHTTP(s.handler))
	mux.HandleFunc("GET "+keySetPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", keySetAge)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = w.Write(s.engine.Current().Issuer().Keys.Public())
	})
	return mux
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
