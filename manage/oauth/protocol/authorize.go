package protocol

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/oauth"
	"keyward/manage/session"
	"keyward/store"
)

// visit is what a browser brings to the authorization endpoint, beside the request.
type visit struct {
	actor         access.Actor // of the session; the zero Actor for none
	record        store.UserRecord
	answer        answer // of the user to the consent page
	shown         string // the scopes that the page showed
	refused       error  // what the request has that is not offered; nil for nothing
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
	if x.visit.actor, err = p.Service.Accounts.Actor(hr.Context(), session.Presented(hr, session.IssuerCookieName), x.call); err == nil && x.visit.actor.Known() && !x.visit.actor.MustChange() {
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
	case x.visit.refused != nil:
		return goidc.StatusFailure, x.visit.refused
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
// the request what asked for a login, when that was done. How long ago a login was that is in
// the future, by a clock that has gone back since, is not known.
func (x *exchange) needsLogin(as *goidc.AuthnSession, prompts []string) bool {
	v := &x.visit
	if v.record.Name == "" || slices.Contains(prompts, "login") || slices.Contains(prompts, "select_account") {
		return true
	}
	if hint, is := as.IDTokenHintClaims["sub"].(string); is && hint != v.record.Name {
		return true
	}
	return as.MaxAuthnAgeSecs != nil && time.Since(v.actor.LoggedInAt()).Abs() > time.Duration(*as.MaxAuthnAgeSecs)*time.Second
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

// renderError is the library's: askAuthorization says what there is to say.
func renderError(w http.ResponseWriter, _ *http.Request, _ error) error {
	w.WriteHeader(http.StatusBadRequest)
	return nil
}
