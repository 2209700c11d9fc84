package server

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"keyward/authz"
	"keyward/engine"
	"keyward/extauthz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/api"
	"keyward/manage/fault"
	"keyward/manage/gate"
	"keyward/manage/oidclogin"
	"keyward/manage/state"
	"keyward/store/audit"
)

// authenticate returns the actor of a request to the management API or for a page: that
// of the key in Authorization, which is checked as on every other listener, or of the
// session in its cookie.
func (s *Server) authenticate(hr *http.Request, via audit.Via) (access.Actor, *gate.Denial) {
	var r authz.Request
	current := s.engine.Current()
	handler := current.Console()
	d := handler.CheckManage(hr.Context(), &r, hr)
	if !d.Allowed() {
		s.countUnknown(current.Service(), &r, d, via)
		return access.Actor{}, denialOf(handler, &r, d)
	}
	var actor access.Actor
	var err error
	if call := callOf(&r, via); d.Principal.AuthMethod == authz.AuthMethodSession {
		actor, err = current.Accounts().Actor(hr.Context(), r.Credential().Secret, call)
	} else {
		actor, err = current.Service().ActorOf(hr.Context(), d.Principal.KeyID, call)
	}
	if err != nil {
		s.logger.Error("management API: the caller's record cannot be read", "subject", d.Principal.Subject(), "error", errors.Join(err, errors.Unwrap(err)))
		return access.Actor{}, &gate.Denial{Status: http.StatusServiceUnavailable, Detail: "the caller's record cannot be read"}
	}
	if actor.Name() == "" {
		current.Service().RefuseUnknown(audit.UnknownCredential, via, r.Client().Address(), authz.RevokedKey.String())
		return access.Actor{}, &gate.Denial{Status: http.StatusUnauthorized, Detail: "the credential has ended"}
	}
	return actor, nil
}

// callOf is what the audit log says of the request.
func callOf(r *authz.Request, via audit.Via) access.Call {
	call := access.Call{Via: via, RequestID: r.RequestID}
	call.Address, _ = netip.ParseAddr(r.Client().Address().String())
	return call
}

// countUnknown counts a denied request for the audit log, unless the caller is known, and
// over its rate limit, or the denial is not the caller's fault.
func (s *Server) countUnknown(service *manage.Service, r *authz.Request, d *authz.Decision, via audit.Via) {
	action := audit.UnknownCredential
	switch {
	case d.Principal != nil || d.Status() >= http.StatusInternalServerError:
		return
	case d.Status() == http.StatusBadRequest:
		action = audit.UnknownRequest
	}
	service.RefuseUnknown(action, via, r.Client().Address(), d.Reason.String())
}

// countFailure counts a secret that is of no key, as a failed attempt of the client.
func (s *Server) countFailure(hr *http.Request) {
	var r authz.Request
	s.engine.Current().Console().RecordFailure(hr.Context(), &r, hr)
}

// denialOf is the denial as the API shows it.
func denialOf(handler *extauthz.Handler, r *authz.Request, d *authz.Decision) *gate.Denial {
	denial := &gate.Denial{Status: d.Status(), Detail: extauthz.Detail(d.Reason), DecisionID: d.ID, Header: http.Header{}}
	for _, h := range handler.Renderer.Denial(r, d).Headers {
		if h.Name != "content-type" {
			denial.Header.Set(h.Name, h.Value)
		}
	}
	return denial
}

// authenticateLink returns the call of a request to the API with a one-time link.
func (s *Server) authenticateLink(hr *http.Request, purpose state.Purpose, code authz.Secret) (access.Call, *gate.Denial) {
	return s.authenticateCode(hr, purpose, code, audit.ViaAPI)
}

// authenticatePageLink is authenticateLink for a page.
func (s *Server) authenticatePageLink(hr *http.Request, purpose state.Purpose, code authz.Secret) *gate.Denial {
	_, denial := s.authenticateCode(hr, purpose, code, audit.ViaConsole)
	return denial
}

// authenticateCode returns the call of a request with a one-time link. Its code is
// limited, counted and logged as credentials are; the log has the path without it.
func (s *Server) authenticateCode(hr *http.Request, purpose state.Purpose, code authz.Secret, via audit.Via) (access.Call, *gate.Denial) {
	var r authz.Request
	current := s.engine.Current()
	handler := current.Console()
	d := handler.CheckManageSecret(hr.Context(), &r, hr, api.LinkPath(purpose), code, linkVerifier{current.Accounts(), purpose})
	if !d.Allowed() {
		s.countUnknown(current.Service(), &r, d, via)
		return access.Call{}, denialOf(handler, &r, d)
	}
	return callOf(&r, via), nil
}

// linkVerifier verifies the codes of links for the purpose.
type linkVerifier struct {
	accounts *account.Service
	purpose  state.Purpose
}

// Verify implements authz.Verifier.
func (v linkVerifier) Verify(ctx context.Context, c *authz.Credential, _ time.Time) (*authz.Principal, error) {
	_, err := v.accounts.Link(ctx, v.purpose, c.Secret)
	switch {
	case err == nil:
		return &authz.Principal{AuthMethod: authz.AuthMethodAnonymous}, nil
	case fault.CodeOf(err) == fault.NotFound:
		return nil, &authz.CredentialError{Reason: authz.InvalidToken}
	default:
		return nil, errors.Join(err, errors.Unwrap(err)) // the log has the cause
	}
}

// authenticatePage returns the actor of a request for a page. What the log of changes
// says of the request is what the page says of it.
func (s *Server) authenticatePage(hr *http.Request, call access.Call) (access.Actor, *gate.Denial) {
	actor, denial := s.authenticate(hr, audit.ViaConsole)
	return actor.WithCall(call), denial
}

// callOfPage is what the audit log says of a request for a page, with an id of its own
// if the proxy gave none.
func (s *Server) callOfPage(hr *http.Request) access.Call { return s.callBy(hr, audit.ViaConsole) }

func (s *Server) callBy(hr *http.Request, via audit.Via) access.Call {
	var r authz.Request
	client := s.engine.Current().Console().ReadManage(&r, hr)
	call := access.Call{Via: via, RequestID: r.RequestID}
	call.Address, _ = netip.ParseAddr(client.Address().String())
	if call.RequestID == "" {
		call.RequestID = rand.Text()[:10]
	}
	return call
}

// login begins a session of the console by a password, which is limited, counted and logged
// as a Basic credential is.
func (s *Server) login(hr *http.Request, call access.Call, user string, password, presented authz.Secret) (authz.Secret, error) {
	current := s.engine.Current()
	return s.loginTo(current.Accounts(), current, hr, "/login", &loginVerifier{call: call, user: user, presented: presented}, password)
}

// loginTo begins a session of one of the places to which users log in, at the path.
func (s *Server) loginTo(accounts *account.Service, current *engine.Snapshot, hr *http.Request, path string, v *loginVerifier, password authz.Secret) (authz.Secret, error) {
	var r authz.Request
	v.accounts = accounts
	d := current.Console().CheckManageSecret(hr.Context(), &r, hr, path, password, v)
	switch {
	case d.Allowed():
		return v.cookie, nil
	case v.err != nil:
		return authz.Secret{}, v.err
	case d.Reason == authz.RateLimited:
		s.countUnknown(current.Service(), &r, d, v.call.Via)
		return authz.Secret{}, fault.Refuse(fault.RateLimited, "too many failed attempts from this address")
	default:
		return authz.Secret{}, errUndecided(nil)
	}
}

// loginVerifier verifies a password by a login.
type loginVerifier struct {
	accounts  *account.Service
	call      access.Call
	user      string
	presented authz.Secret

	cookie authz.Secret
	err    error
}

// Verify implements authz.Verifier.
func (v *loginVerifier) Verify(ctx context.Context, c *authz.Credential, _ time.Time) (*authz.Principal, error) {
	v.cookie, v.err = v.accounts.Login(ctx, v.call, v.user, c.Secret, v.presented)
	if v.err == nil {
		return &authz.Principal{AuthMethod: authz.AuthMethodSession, User: v.user}, nil
	}
	switch fault.CodeOf(v.err) {
	case fault.Invalid:
		return nil, &authz.CredentialError{Reason: authz.WrongPassword}
	case fault.RateLimited:
		return nil, &authz.CredentialError{Reason: authz.RateLimited}
	case fault.Overloaded:
		return nil, &authz.CredentialError{Reason: authz.Overloaded}
	default:
		return nil, errors.Join(v.err, errors.Unwrap(v.err)) // the log has the cause
	}
}

// loginLinesPerSecond bounds how often the log says why logins with a provider fail.
const loginLinesPerSecond = 10

// providerLogins are the logins with the OpenID provider.
type providerLogins struct {
	*Server
	log *slog.Logger // limited: clients can have logins fail
}

var errNoProvider = fault.Refuse(fault.NotFound, "there is no login with a provider here")

// begin begins a login.
func (s providerLogins) begin(ctx context.Context, call access.Call, o oidclogin.Options) (to string, cookie authz.Secret, err error) {
	provider := s.engine.Current().Provider()
	if provider == nil {
		return "", cookie, errNoProvider
	}
	to, cookie, err = provider.Begin(ctx, o)
	s.logFailure(call, err)
	return to, cookie, err
}

// finish begins a session by what the OpenID provider says, which is limited, counted and
// logged as a password is. An answer to what the browser did not begin is not: another site
// can send the browser here, and must not use up its attempts.
func (s providerLogins) finish(hr *http.Request, call access.Call, cookie authz.Secret) (oidclogin.Options, authz.Secret, error) {
	var r authz.Request
	current := s.engine.Current()
	v := &providerVerifier{provider: current.Provider(), accounts: current.Accounts(), call: call, query: hr.URL.Query(), cookie: cookie}
	if v.provider == nil {
		return oidclogin.Options{}, authz.Secret{}, errNoProvider
	}
	if err := v.provider.Began(v.query, cookie); err != nil {
		s.logFailure(call, err)
		return oidclogin.Options{}, authz.Secret{}, err
	}
	d := current.Console().CheckManageSecret(hr.Context(), &r, hr, oidclogin.CallbackPath, authz.NewSecret(v.query.Get("code")), v)
	switch {
	case d.Allowed():
		return v.result.Options, v.session, nil
	case v.err != nil:
		s.logFailure(call, v.err)
		return v.result.Options, authz.Secret{}, v.err
	case d.Reason == authz.RateLimited:
		s.countUnknown(current.Service(), &r, d, audit.ViaConsole)
		return oidclogin.Options{}, authz.Secret{}, fault.Refuse(fault.RateLimited, "too many failed attempts from this address")
	default:
		return oidclogin.Options{}, authz.Secret{}, errUndecided(nil)
	}
}

// logFailure logs why a login has failed, unless a person did not go on with it.
func (s providerLogins) logFailure(call access.Call, err error) {
	if err != nil && !errors.Is(err, oidclogin.ErrExpired) && !errors.Is(err, oidclogin.ErrNotLoggedIn) {
		s.log.Warn("console: a login with the OpenID provider failed", "request_id", call.RequestID, "error", errors.Join(err, errors.Unwrap(err)))
	}
}

func errUndecided(cause error) error {
	return &fault.Error{Code: fault.StoreUnavailable, Detail: "the login cannot be decided now", Cause: cause}
}

// providerVerifier verifies a provider's answer by a login.
type providerVerifier struct {
	provider *oidclogin.Provider
	accounts *account.Service
	call     access.Call
	query    url.Values
	cookie   authz.Secret

	result  oidclogin.Result
	session authz.Secret
	err     error
}

// Verify implements authz.Verifier.
func (v *providerVerifier) Verify(ctx context.Context, _ *authz.Credential, _ time.Time) (*authz.Principal, error) {
	reason := authz.InvalidToken
	if v.result, v.err = v.provider.Finish(ctx, v.query, v.cookie); v.err == nil {
		reason = authz.DisabledUser
		v.session, v.err = v.accounts.LoginByProvider(ctx, v.call, account.ProviderLogin{
			Identity: v.result.Identity, Proved: v.result.MustProve(), Session: v.result.Session,
		})
	}
	if v.err == nil {
		return &authz.Principal{AuthMethod: authz.AuthMethodSession, User: v.result.User}, nil
	}
	refused := errors.Is(v.err, oidclogin.ErrRefused) || errors.Is(v.err, oidclogin.ErrExpired) || errors.Is(v.err, oidclogin.ErrNotLoggedIn)
	if e := fault.AsError(v.err); e != nil {
		refused = e.Code == fault.Forbidden || e.Code == fault.NotFound || e.Code == fault.Reauthenticate
	} else if !refused && !errors.Is(v.err, oidclogin.ErrUnavailable) {
		v.err = errUndecided(v.err)
	}
	cause := errors.Join(v.err, errors.Unwrap(v.err)) // the log has it
	if refused {
		return nil, &authz.CredentialError{Reason: reason, Cause: cause}
	}
	return nil, cause
}
