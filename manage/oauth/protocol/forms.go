package protocol

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/manage/fault"
	"keyward/manage/gate"
	"keyward/manage/session"
)

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
	cookie, err := p.Login(hr, p.CallOf(hr), username, authz.NewSecret(form.Get("password")), session.Presented(hr, session.IssuerCookieName))
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
	w.Header().Add("Set-Cookie", session.SetIssuerCookie(cookie))
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
		return fault.Refuse(fault.Forbidden, "Your password is a temporary one and must be changed first. Sign in to the console, and come back.")
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
	actor, err := p.Service.Accounts.Actor(hr.Context(), session.Presented(hr, session.IssuerCookieName), p.CallOf(hr))
	switch {
	case err != nil:
		p.showFailure(w, hr, err)
		return
	case actor.User() != form.Get("user"): // another one has logged in since, in another tab
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
