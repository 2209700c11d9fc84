package server

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"keyward/authz"
	"keyward/extauthz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/api"
	"keyward/manage/session"
	"keyward/manage/state"
	"keyward/store/audit"
)

// consoleListener serves the management API.
func (s *Server) consoleListener(security *tls.Config) *listener {
	service := func() *manage.Service { return s.engine.Current().Service() }
	return listenerOf(&http.Server{
		Handler: limitStream(api.New(api.Config{
			Service: service, Accounts: func() *account.Service { return s.engine.Current().Accounts() }, State: func() *state.DB { return s.engine.Current().State() }, Origin: func() session.Origin { return s.engine.Current().Origin() },
			Authenticate: s.authenticate, AuthenticateLink: s.authenticateLink, CountFailure: s.countFailure, CountRequest: s.requests.Count, Log: s.logger, Version: s.opts.Version,
		}), consoleTimeout),
		TLSConfig:         security,
		ErrorLog:          s.errorLog(listenerConsole),
		ReadHeaderTimeout: handshakeTimeout,
		ReadTimeout:       consoleTimeout,
		WriteTimeout:      consoleTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		// OPTIONS * is a request of a caller as any other.
		DisableGeneralOptionsHandler: true,
	})
}

// consoleTimeout bounds a request to the console, from its first byte to the last of
// the answer.
const consoleTimeout = 30 * time.Second

// authenticate returns the actor of a request to the management API: that of the key
// in Authorization, which is checked as on every other listener, or of the session in
// its cookie.
func (s *Server) authenticate(hr *http.Request) (access.Actor, *api.Denial) {
	var r authz.Request
	current := s.engine.Current()
	handler := current.Console()
	d := handler.CheckManage(hr.Context(), &r, hr)
	if !d.Allowed() {
		s.countUnknown(current.Service(), &r, d)
		return access.Actor{}, denialOf(handler, &r, d)
	}
	var actor access.Actor
	var err error
	if call := callOf(&r); d.Principal.AuthMethod == authz.AuthMethodSession {
		actor, err = current.Accounts().Actor(hr.Context(), r.Credential().Secret, call)
	} else {
		actor, err = current.Service().ActorOf(hr.Context(), d.Principal.KeyID, call)
	}
	if err != nil {
		s.logger.Error("management API: the caller's record cannot be read", "subject", d.Principal.Subject(), "error", errors.Join(err, errors.Unwrap(err)))
		return access.Actor{}, &api.Denial{Status: http.StatusServiceUnavailable, Detail: "the caller's record cannot be read"}
	}
	if actor.Name() == "" {
		current.Service().RefuseUnknown(audit.UnknownCredential, audit.ViaAPI, r.Client().Address(), authz.RevokedKey.String())
		return access.Actor{}, &api.Denial{Status: http.StatusUnauthorized, Detail: "the credential has ended"}
	}
	return actor, nil
}

// callOf is what the audit log says of the request.
func callOf(r *authz.Request) access.Call {
	call := access.Call{Via: audit.ViaAPI, RequestID: r.RequestID}
	call.Address, _ = netip.ParseAddr(r.Client().Address().String())
	return call
}

// countUnknown counts a denied request for the audit log, unless the caller is known, and
// over its rate limit, or the denial is not the caller's fault.
func (s *Server) countUnknown(service *manage.Service, r *authz.Request, d *authz.Decision) {
	action := audit.UnknownCredential
	switch {
	case d.Principal != nil || d.Status() >= http.StatusInternalServerError:
		return
	case d.Status() == http.StatusBadRequest:
		action = audit.UnknownRequest
	}
	service.RefuseUnknown(action, audit.ViaAPI, r.Client().Address(), d.Reason.String())
}

// countFailure counts a secret that is of no key, as a failed attempt of the client.
func (s *Server) countFailure(hr *http.Request) {
	var r authz.Request
	s.engine.Current().Console().RecordFailure(hr.Context(), &r, hr)
}

// denialOf is the denial as the API shows it.
func denialOf(handler *extauthz.Handler, r *authz.Request, d *authz.Decision) *api.Denial {
	denial := &api.Denial{Status: d.Status(), Detail: extauthz.Detail(d.Reason), DecisionID: d.ID, Header: http.Header{}}
	for _, h := range handler.Renderer.Denial(r, d).Headers {
		if h.Name != "content-type" {
			denial.Header.Set(h.Name, h.Value)
		}
	}
	return denial
}
