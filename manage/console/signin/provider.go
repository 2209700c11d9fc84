package signin

import (
	"net/http"

	"keyward/authz"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/oidclogin"
)

// A login with an OpenID provider leads the browser to the provider and back. Each of the
// two ways is a page that goes on by itself, not a redirect: browsers apply the policy
// form-action to every redirect that follows a form, those of the provider included, and
// do not send a cookie that is SameSite=Strict where another site has sent them.

// beginProvider begins a login with the provider.
func (p pages) beginProvider(r *page.Request) error {
	return p.toProvider(r, oidclogin.Options{Next: page.LocalPath(r.Sent.Get("next"), "/"), Prove: r.Value("prove") != ""})
}

// proveByProvider has the user of a session prove again who they are.
func (p pages) proveByProvider(r *page.Request) error {
	return p.toProvider(r, oidclogin.Options{Session: r.Actor.Session()})
}

func (p pages) toProvider(r *page.Request, o oidclogin.Options) error {
	to, cookie, err := r.BeginLogin(r.Context(), r.Call, o)
	if err != nil {
		return p.failed(r, o, err)
	}
	r.SetLoginCookie(cookie)
	return p.onward(r, "Continue to "+r.ProviderName(), "You sign in there, and come back here.", to)
}

// onwardPage is what a page gets that leads to another by itself.
type onwardPage struct{ Text, To string }

func (p pages) onward(r *page.Request, title, text, to string) error {
	return r.Render(p.Templates, "onward.html", page.Head{Title: title, Bare: true, Onward: to}, onwardPage{text, to})
}

// finishProvider is where the provider sends the browser back to. It is a GET that begins
// a session: what makes it more than a link is the cookie of the login.
func (p pages) finishProvider(r *page.Request) error {
	cookie := r.LoginCookie()
	r.ClearLoginCookie()
	o, session, err := r.FinishLogin(r.HTTP, r.Call, cookie)
	if e := fault.AsError(err); e != nil && o.Session != "" && (e.Code == fault.NotFound || e.Code == fault.Forbidden) {
		return &page.Problem{Code: fault.Forbidden, Detail: "your session has ended, or you have signed in to " + r.ProviderName() + " as another person", Cause: err}
	}
	if err != nil {
		return p.failed(r, o, err)
	}
	r.SetCookie(session)
	if o.Session != "" {
		return r.Render(p.Templates, "proved.html", page.Head{Title: "You have confirmed that it is you", Bare: true}, nil)
	}
	return p.onward(r, "You are signed in", "", p.firstPage(r, session, o.Next))
}

// firstPage is where a login leads: a user who gets something at the first login comes to
// the page that offers it. This request makes no key: it came from another site.
func (p pages) firstPage(r *page.Request, session authz.Secret, next string) string {
	actor, err := r.Accounts().Actor(r.Context(), session, r.Call)
	first := false
	if err == nil {
		first, err = r.Accounts().IsFirstLogin(r.Context(), actor)
	}
	switch {
	case err != nil: // the first page offers it, too
		r.Failure(r.Context(), r, err)
	case first:
		return "/welcome"
	}
	return page.LocalPath(next, "/")
}

// failed shows the page of the login with what is wrong. Passwords work there, whatever
// the provider does.
func (p pages) failed(r *page.Request, o oidclogin.Options, err error) error {
	text, status, failed := r.FailedLogin(err)
	if !failed {
		return err
	}
	if status == http.StatusServiceUnavailable {
		r.Header().Set("Retry-After", "2")
	}
	e := fault.AsError(err)
	prove := e != nil && e.Code == fault.Reauthenticate
	return r.Render(p.Templates, "login.html", page.Head{Title: loginTitle, Bare: true, Status: status, Error: true}, loginPage{Next: page.LocalPath(o.Next, "/"), Wrong: text, Prove: prove})
}
