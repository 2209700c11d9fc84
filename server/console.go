package server

import (
	"crypto/tls"
	"net/http"
	"time"

	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/api"
	"keyward/manage/console"
	"keyward/manage/console/page"
	"keyward/manage/gate"
	"keyward/manage/oauth"
	"keyward/manage/session"
	"keyward/manage/state"
	"keyward/store/audit"
)

// consoleListener serves the console's pages and the management API.
func (s *Server) consoleListener(security *tls.Config) *listener {
	return s.managingListener(listenerConsole, s.managing(), security)
}

// managingListener serves people and programs that change something.
func (s *Server) managingListener(name string, handler http.Handler, security *tls.Config) *listener {
	return listenerOf(&http.Server{
		Handler:           limitStream(handler, consoleTimeout),
		TLSConfig:         security,
		ErrorLog:          s.errorLog(name),
		ReadHeaderTimeout: handshakeTimeout,
		ReadTimeout:       consoleTimeout,
		WriteTimeout:      consoleTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		// OPTIONS * is a request of a caller as any other.
		DisableGeneralOptionsHandler: true,
	})
}

// managing returns the handler of the pages and the API, which share their bounds.
func (s *Server) managing() http.Handler {
	service := func() *manage.Service { return s.engine.Current().Service() }
	accounts := func() *account.Service { return s.engine.Current().Accounts() }
	db := func() *state.DB { return s.engine.Current().State() }
	address := func() session.Origin { return s.engine.Current().Origin() }
	shared := gate.New()
	programs := api.New(api.Config{
		Service: service, Accounts: accounts, State: db, Origin: address, Gate: shared,
		Authenticate:     func(hr *http.Request) (access.Actor, *gate.Denial) { return s.authenticate(hr, audit.ViaAPI) },
		AuthenticateLink: s.authenticateLink, CountFailure: s.countFailure, CountRequest: s.requests.Count, Log: s.logger, Version: s.opts.Version,
		LoginIssuer: func() string { settings, _ := s.engine.Current().ConsoleSettings(); return settings.OIDC.Issuer },
	})
	logins := providerLogins{s, limited(s.logger, "go-oidc", loginLinesPerSecond)}
	pages := console.New(page.Config{
		Service: service, Accounts: accounts, State: db, Origin: address, Gate: shared,
		Issuer: func() *oauth.Service {
			if issuer := s.engine.Current().Issuer(); issuer != nil {
				return issuer.Service
			}
			return nil
		},
		Settings: func() page.Settings {
			settings, scopes := s.engine.Current().ConsoleSettings()
			return page.Settings{Console: settings, RouteScopes: scopes}
		},
		Configuration: func() page.Configuration {
			current := s.engine.Current()
			file, text, warnings := current.Configuration()
			return page.Configuration{File: file, Text: text, Warnings: warnings, Since: current.Configured(), Version: s.opts.Version}
		},
		CallOf: s.callOfPage, Login: s.login, BeginLogin: logins.begin, FinishLogin: logins.finish,
		Authenticate: s.authenticatePage, AuthenticateLink: s.authenticatePageLink, CountRequest: s.requests.Count, Log: s.logger,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		if api.Serves(hr) {
			programs.ServeHTTP(w, hr)
		} else {
			pages.ServeHTTP(w, hr)
		}
	})
}

// consoleTimeout bounds a request to the console, from its first byte to the last of
// the answer.
const consoleTimeout = 30 * time.Second
