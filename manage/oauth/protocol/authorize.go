package protocol

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/gate"
	"keyward/manage/oauth"
	"keyward/manage/state"
	"keyward/store"
)

// Pages are what the issuer shows to the users of browsers. An error is one of the program.
type Pages interface {
	// Login asks for a password, again if wrong says why one was not accepted.
	Login(w http.ResponseWriter, hr *http.Request, l LoginPage) error
	// Consent asks the user to allow what the client asks for.
	Consent(w http.ResponseWriter, hr *http.Request, c ConsentPage) error
	// Error says why a request cannot be answered, and not to its client.
	Error(w http.ResponseWriter, hr *http.Request, status int, text string) error
}

// LoginPage is what the login page shows.
type LoginPage struct {
	Client   string // the name
	Request  string // the authorization request, which the form sends back
	Username string
	Wrong    error  // why the attempt before was not accepted; nil for none
	Onward   string // the origin that the browser goes on to in the end
}

// ConsentPage is what the consent page shows.
type ConsentPage struct {
	Client, User    string
	Request, Scopes string // which the form sends back
	Asked           []string
	Refreshes       bool      // the client gets refresh tokens
	Before          time.Time // when the user last allowed the client something; zero for never
	Onward          string
}

// visit is what a browser brings to the authorization endpoint, beside the request.
type visit struct {
	actor         access.Actor // of the session; the zero Actor for none
	record        store.UserRecord
	answer        answer // of the user to the consent page
	shown         string // the scopes that the page showed
	authorization *oauth.Authorization
}

// answer is what the user has said on the consent page.
type answer string

const (
	allow answer = "allow"
	deny  answer = "deny"
)

// authorize answers the authorization endpoint (RFC 6749 section 3.1). A form is sent on as a
// link, so that the browser sends the session's cookie along (SameSite=Lax).
func (p *Protocol) authorize(w http.ResponseWriter, hr *http.Request) {
	switch hr.Method {
	case http.MethodGet, http.MethodHead:
		p.authorizeBy(w, hr, hr.URL.RawQuery, AuthorizePath, visit{})
	case http.MethodPost:
		if form, ok := p.readPageForm(w, hr); ok {
			w.Header().Set("Location", AuthorizePath+"?"+form.Encode())
			w.WriteHeader(http.StatusSeeOther)
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// authorizeBy answers an authorization request that is the query of a link, or comes back
// from a page.
func (p *Protocol) authorizeBy(w http.ResponseWriter, hr *http.Request, query, path string, v visit) {
	form, err := url.ParseQuery(query)
	if err != nil || len(form) > maxMembers || checkOnce(form) != nil {
		p.showError(w, hr, http.StatusBadRequest, "The link that led here cannot be read, or has something twice.")
		return
	}
	x := &exchange{path: path, call: p.CallOf(hr), request: form.Encode(), form: form, visit: v}
	client, err := p.Service.Client(hr.Context(), form.Get("client_id"))
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		p.showError(w, hr, http.StatusBadRequest, "The application that led here is not known.")
		return
	case err != nil:
		p.showFailure(w, hr, err)
		return
	}
	x.client = &client
	if !x.takeRedirectURI() {
		p.showError(w, hr, http.StatusBadRequest, "The application that led here wants the answer at an address that is not registered for it.")
		return
	}
	if x.visit.actor, err = p.Service.Accounts.Actor(hr.Context(), cookieOf(hr), x.call); err == nil && x.visit.actor.Known() && !x.visit.actor.MustChange() {
		x.visit.record, err = p.Service.Records.Users.Get(hr.Context(), x.visit.actor.User())
	}
	if err != nil {
		p.showFailure(w, hr, err)
		return
	}
	p.askAuthorization(w, hr, x)
}

// askAuthorization has the library answer, which asks decide.
func (p *Protocol) askAuthorization(w http.ResponseWriter, hr *http.Request, x *exchange) {
	to := x.with(hr)
	to.Method, to.URL, to.Body = http.MethodGet, &url.URL{Path: AuthorizePath, RawQuery: x.form.Encode()}, http.NoBody
	r := p.ask(to)
	switch {
	case x.failed != nil:
		p.showFailure(w, hr, x.failed)
	case x.page != nil:
		if err := x.page(w); err != nil {
			p.showFailure(w, hr, err)
		}
	case r.status == http.StatusSeeOther:
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Location", r.header.Get("Location"))
		w.WriteHeader(http.StatusSeeOther)
	default:
		p.showError(w, hr, http.StatusBadRequest, "The application that led here has asked for something that is not offered.")
	}
}

// takeRedirectURI sets where the answer goes, and reports whether that is registered: to the
// letter, but for the port on the machine of the user (RFC 8252 section 7.3). Without one in
// the request it is the only one that is registered. What else the library would take for
// something else is changed into what it refuses.
func (x *exchange) takeRedirectURI() bool {
	sent, registered := x.form.Get("redirect_uri"), x.client.RedirectURIs
	x.visit.authorization = &oauth.Authorization{Code: state.AuthorizationCode{RedirectURI: sent}}
	if sent == "" && !x.form.Has("redirect_uri") && len(registered) == 1 {
		sent = registered[0]
		x.form.Set("redirect_uri", sent)
	}
	if !slices.ContainsFunc(registered, func(uri string) bool { return sent == uri || sameButPort(sent, uri) }) {
		return false
	}
	u, err := url.Parse(sent)
	if err != nil {
		return false
	}
	x.redirectURI = u.String()
	if x.form.Has("code_challenge") && x.form.Get("code_challenge_method") != "S256" {
		x.form.Set("code_challenge_method", "plain") // which it is without a method (RFC 7636 section 4.3)
	}
	if mode := x.form.Get("response_mode"); mode != "" && mode != "query" {
		x.form.Set("response_mode", "unsupported")
	}
	return true
}

// sameButPort reports whether a URI is one of the user's machine that is registered with
// another port, or with none.
func sameButPort(sent, registered string) bool {
	a, port := withoutPort(sent)
	b, _ := withoutPort(registered)
	return a != "" && a == b && (port == "" || validPort(port))
}

// withoutPort returns the URI without its port, and that; "" for a URI that is not one of
// http://127.0.0.1 or http://[::1].
func withoutPort(uri string) (rest, port string) {
	for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
		after, is := strings.CutPrefix(uri, host)
		if !is || after != "" && !strings.ContainsAny(after[:1], ":/?") {
			continue
		}
		if after, is = strings.CutPrefix(after, ":"); is {
			end := strings.IndexAny(after, "/?")
			if end < 0 {
				end = len(after)
			}
			port, after = after[:end], after[end:]
		}
		return host + after, port
	}
	return "", ""
}

func validPort(port string) bool {
	_, err := netip.ParseAddrPort(net.JoinHostPort("127.0.0.1", port))
	return err == nil && port[0] != '0'
}

// decide is asked by the library when a request is one that can be granted: by its user.
func (p *Protocol) decide(_ http.ResponseWriter, hr *http.Request, as *goidc.AuthnSession, _ *goidc.Client) (goidc.Status, error) {
	x := exchangeOf(hr.Context())
	prompts := strings.Fields(string(as.Prompt))
	silent := slices.Contains(prompts, "none")
	refuse := func(code goidc.ErrorCode, text string) (goidc.Status, error) {
		return goidc.StatusFailure, goidc.NewError(code, text)
	}
	show := func(page func(http.ResponseWriter) error) (goidc.Status, error) {
		x.page = page
		return goidc.StatusPending, nil
	}
	switch {
	case x.form.Has("request"):
		return refuse("request_not_supported", "request objects are not offered")
	case silent && len(prompts) > 1, slices.ContainsFunc(prompts, func(word string) bool { return !knownPrompt[word] }):
		return refuse(goidc.ErrorCodeInvalidRequest, "prompt has something that is not known, or none with another")
	case x.needsLogin(as, prompts) && silent:
		return refuse(goidc.ErrorCodeLoginRequired, "the user is not logged in")
	case x.needsLogin(as, prompts):
		return show(func(w http.ResponseWriter) error { return p.Pages.Login(w, hr, x.loginPage()) })
	}
	scopes := oauth.Granted(strings.Fields(as.Scopes), x.client, &x.visit.record)
	if as.Scopes != "" && len(scopes) == 0 {
		return refuse(goidc.ErrorCodeInvalidScope, "none of the scopes can be granted")
	}
	if x.visit.answer == deny {
		return refuse(goidc.ErrorCodeAccessDenied, "the user has not allowed it")
	}
	consented, err := p.consented(hr, x, prompts, scopes)
	switch {
	case err != nil:
		x.failed = err
		return goidc.StatusPending, nil
	case !consented && silent:
		return refuse("consent_required", "the user has not allowed it yet")
	case !consented:
		return show(func(w http.ResponseWriter) error { return p.showConsent(w, hr, x, scopes) })
	}
	as.Subject, as.GrantedScopes, as.GrantedResources = x.visit.record.Name, strings.Join(scopes, " "), as.Resources
	a := x.visit.authorization
	a.User, a.Client, a.Scopes, a.Resources, a.AuthTime = &x.visit.record, x.client, scopes, as.Resources, x.visit.actor.LoggedInAt()
	a.Code.Challenge, a.Code.Nonce = as.CodeChallenge, as.Nonce
	return goidc.StatusSuccess, nil
}

var knownPrompt = map[string]bool{"none": true, "login": true, "consent": true, "select_account": true}

// needsLogin reports whether the user has to log in first. A form of the pages has taken from
// the request what asked for a login, when that was done.
func (x *exchange) needsLogin(as *goidc.AuthnSession, prompts []string) bool {
	v := &x.visit
	if v.record.Name == "" || slices.Contains(prompts, "login") || slices.Contains(prompts, "select_account") {
		return true
	}
	if hint, is := as.IDTokenHintClaims["sub"].(string); is && hint != v.record.Name {
		return true
	}
	return as.MaxAuthnAgeSecs != nil && time.Since(v.actor.LoggedInAt()) > time.Duration(*as.MaxAuthnAgeSecs)*time.Second
}

// consented reports whether the user need not be asked, or has just allowed it.
func (p *Protocol) consented(hr *http.Request, x *exchange, prompts, scopes []string) (bool, error) {
	if x.visit.answer == allow {
		shown := strings.Fields(x.visit.shown)
		if slices.ContainsFunc(scopes, func(scope string) bool { return !slices.Contains(shown, scope) }) {
			return false, nil // more than the page has shown
		}
		return true, p.Service.Consent(hr.Context(), x.visit.actor, x.client, scopes)
	}
	if slices.Contains(prompts, "consent") {
		return false, nil
	}
	return p.Service.Consented(hr.Context(), &x.visit.record, x.client, scopes)
}

func (p *Protocol) showConsent(w http.ResponseWriter, hr *http.Request, x *exchange, scopes []string) error {
	before, err := p.Service.ConsentedSince(hr.Context(), &x.visit.record, x.client)
	if err != nil {
		return err
	}
	return p.Pages.Consent(w, hr, ConsentPage{
		Client: x.client.Name, User: x.visit.record.Name, Request: x.request, Scopes: strings.Join(scopes, " "), Asked: scopes,
		Refreshes: slices.Contains(x.client.Grants, "refresh_token"), Before: before, Onward: x.onward(),
	})
}

// onward is the origin of the redirect URI.
func (x *exchange) onward() string {
	u, err := url.Parse(x.redirectURI)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func (x *exchange) loginPage() LoginPage {
	return LoginPage{Client: x.client.Name, Request: x.request, Username: x.form.Get("login_hint"), Onward: x.onward()}
}

// readPageForm reads a form that a browser sends.
func (p *Protocol) readPageForm(w http.ResponseWriter, hr *http.Request) (url.Values, bool) {
	text, err := gate.ReadBody(w, hr, gate.MaxBody, gate.BodyTime)
	if err == nil {
		var form url.Values
		if form, err = url.ParseQuery(string(text)); err == nil && len(form) <= maxMembers && checkOnce(form) == nil {
			return form, true
		}
	}
	p.showError(w, hr, http.StatusBadRequest, "The form cannot be read.")
	return nil, false
}

// ownForm reads a form of the issuer's own pages: of its own origin (no other site can send
// it), by POST.
func (p *Protocol) ownForm(w http.ResponseWriter, hr *http.Request) (url.Values, bool) {
	switch {
	case hr.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return nil, false
	case !p.Origin.Serves(hr):
		p.showError(w, hr, http.StatusMisdirectedRequest, "This page is not served under this name.")
		return nil, false
	case !p.Origin.Same(hr):
		p.showError(w, hr, http.StatusForbidden, "The form was sent from another page.")
		return nil, false
	}
	return p.readPageForm(w, hr)
}

// login answers the login page's form. The request goes on as a link, without what asked for
// this login.
func (p *Protocol) login(w http.ResponseWriter, hr *http.Request) {
	form, ok := p.ownForm(w, hr)
	if !ok {
		return
	}
	request, err := url.ParseQuery(form.Get("request"))
	if err != nil || checkOnce(request) != nil {
		p.showError(w, hr, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	username := strings.TrimSpace(form.Get("username"))
	cookie, err := p.Login(hr, p.CallOf(hr), username, authz.NewSecret(form.Get("password")), cookieOf(hr))
	if err == nil {
		err = p.mayGoOn(hr, cookie)
	}
	if err != nil {
		page := LoginPage{Request: request.Encode(), Username: username, Wrong: err}
		if client, failed := p.Service.Client(hr.Context(), request.Get("client_id")); failed == nil {
			x := &exchange{client: &client, form: request}
			if page.Client = client.Name; x.takeRedirectURI() {
				page.Onward = x.onward()
			}
		}
		if err := p.Pages.Login(w, hr, page); err != nil {
			p.showFailure(w, hr, err)
		}
		return
	}
	http.SetCookie(w, sessionCookie(cookie.Reveal()))
	prompts := slices.DeleteFunc(strings.Fields(request.Get("prompt")), func(word string) bool { return word == "login" || word == "select_account" })
	request.Del("max_age")
	request.Del("prompt")
	if len(prompts) > 0 {
		request.Set("prompt", strings.Join(prompts, " "))
	}
	w.Header().Set("Location", AuthorizePath+"?"+request.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

// mayGoOn returns why the user of a new session cannot allow anything.
func (p *Protocol) mayGoOn(hr *http.Request, cookie authz.Secret) error {
	actor, err := p.Service.Accounts.Actor(hr.Context(), cookie, p.CallOf(hr))
	if err == nil && actor.MustChange() {
		return fault.Refuse(fault.Forbidden, "Your password was set by somebody else and must be changed first. Sign in to the console, and come back.")
	}
	return err
}

// consent answers the consent page's form.
func (p *Protocol) consent(w http.ResponseWriter, hr *http.Request) {
	form, ok := p.ownForm(w, hr)
	if !ok {
		return
	}
	v := visit{answer: answer(form.Get("consent")), shown: form.Get("scopes")}
	if v.answer != allow && v.answer != deny {
		p.showError(w, hr, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	actor, err := p.Service.Accounts.Actor(hr.Context(), cookieOf(hr), p.CallOf(hr))
	switch {
	case err != nil:
		p.showFailure(w, hr, err)
		return
	case actor.User() != form.Get("user"): // who has logged in since, in another tab
		v = visit{}
	}
	request, err := url.ParseQuery(form.Get("request"))
	if err != nil {
		p.showError(w, hr, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	if v.answer != "" && request.Get("prompt") == "consent" {
		request.Del("prompt")
	}
	p.authorizeBy(w, hr, request.Encode(), ConsentPath, v)
}

// sessionName is the name of the cookie of a session of the issuer's pages.
const sessionName = authz.OwnCookiePrefix + "issuer"

func sessionCookie(value string) *http.Cookie {
	return &http.Cookie{Name: sessionName, Value: value, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode}
}

func cookieOf(hr *http.Request) authz.Secret {
	if found := hr.CookiesNamed(sessionName); len(found) == 1 {
		return authz.NewSecret(found[0].Value)
	}
	return authz.Secret{}
}

// renderError is the library's: askAuthorization says what there is to say.
func renderError(w http.ResponseWriter, _ *http.Request, _ error) error {
	w.WriteHeader(http.StatusBadRequest)
	return nil
}

func (p *Protocol) showError(w http.ResponseWriter, hr *http.Request, status int, text string) {
	if err := p.Pages.Error(w, hr, status, text); err != nil {
		p.logFailure(hr.URL.Path, err)
	}
}

// showFailure shows that nothing could be decided.
func (p *Protocol) showFailure(w http.ResponseWriter, hr *http.Request, err error) {
	p.logFailure(hr.URL.Path, err)
	w.Header().Set("Retry-After", retryAfter)
	p.showError(w, hr, http.StatusServiceUnavailable, "This cannot be answered at the moment. Try again in a few seconds.")
}
