package page

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/console/words"
	"keyward/manage/oauth"
	"keyward/manage/oidclogin"
	"keyward/manage/session"
)

// Request is a request for a page, or of a form.
type Request struct {
	*Site
	HTTP  *http.Request
	Actor access.Actor // the zero Actor on public pages
	Call  access.Call  // what the audit log says of the request
	// Sent is what the form has; nil for a page.
	Sent url.Values

	route   *Route
	w       http.ResponseWriter
	service *manage.Service
	code    authz.Secret // of a one-time link

	proofAwaited bool // the form is sent again after a login with the provider
}

// NewRequest returns the request for the route.
func (s *Site) NewRequest(w http.ResponseWriter, r *http.Request, route *Route, call access.Call) *Request {
	return &Request{Site: s, HTTP: r, Call: call, route: route, w: w, service: s.Config.Service()}
}

// Context is that of the HTTP request.
func (r *Request) Context() context.Context { return r.HTTP.Context() }

// Service is the one in force when the request came.
func (r *Request) Service() *manage.Service { return r.service }

// Accounts is the service of sessions and links in force.
func (r *Request) Accounts() *account.Service { return r.Config.Accounts() }

// Issuer is the issuer in force; nil for none.
func (r *Request) Issuer() *oauth.Service {
	if r.Config.Issuer == nil {
		return nil
	}
	return r.Config.Issuer()
}

// Words are those of the style in force.
func (r *Request) Words() *words.Words { return r.Site.Words() }

// Now is the time.
func (r *Request) Now() time.Time { return r.Config.Now().UTC() }

// Route is that of the request.
func (r *Request) Route() *Route { return r.route }

// ID is the value of {id} in the path.
func (r *Request) ID() string { return r.HTTP.PathValue("id") }

// Query is a parameter of the query, without space around it; "" if it is not there.
func (r *Request) Query(name string) string {
	return strings.TrimSpace(r.HTTP.URL.Query().Get(name))
}

// Value is what the form has in a field, without space around it.
func (r *Request) Value(name string) string { return strings.TrimSpace(r.Sent.Get(name)) }

// Secret is a password that the form has, as it was typed.
func (r *Request) Secret(name string) authz.Secret { return authz.NewSecret(r.Sent.Get(name)) }

// Code is the code of the one-time link that was requested.
func (r *Request) Code() authz.Secret { return r.code }

// SetCode sets it.
func (r *Request) SetCode(code authz.Secret) { r.code = code }

// Can reports whether there is a page at the path that the actor may see.
func (r *Request) Can(path string) bool { return r.Shows(r.Actor, path) }

// Cookie is the session's cookie that the request has; empty if it has none, or several.
func (r *Request) Cookie() authz.Secret { return session.Presented(r.HTTP, session.CookieName) }

// LoginCookie is that of a login with an OpenID provider.
func (r *Request) LoginCookie() authz.Secret {
	return session.Presented(r.HTTP, session.LoginCookieName)
}

// SetCookie gives the browser the cookie of a session.
func (r *Request) SetCookie(cookie authz.Secret) { r.setCookie(session.SetCookie(cookie)) }

// ClearCookie takes it from the browser.
func (r *Request) ClearCookie() { r.setCookie(session.ClearCookie()) }

// SetLoginCookie gives the browser the cookie of a login with an OpenID provider.
func (r *Request) SetLoginCookie(cookie authz.Secret) {
	r.setCookie(session.SetLoginCookie(cookie, oidclogin.CookieAge))
}

// ClearLoginCookie takes it from the browser.
func (r *Request) ClearLoginCookie() { r.setCookie(session.ClearLoginCookie()) }

// setCookie puts a cookie in the place of one of that name in the answer.
func (r *Request) setCookie(header string) {
	name, _, _ := strings.Cut(header, "=")
	kept := slices.DeleteFunc(r.w.Header()["Set-Cookie"], func(other string) bool { return strings.HasPrefix(other, name+"=") })
	r.w.Header()["Set-Cookie"] = append(kept, header)
}

// Header is that of the answer.
func (r *Request) Header() http.Header { return r.w.Header() }

// SeeOther sends the browser to another page of the console, after a form was done.
func (r *Request) SeeOther(path string) error {
	r.w.Header().Set("Location", LocalPath(path, "/"))
	r.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// Done is SeeOther to a page that says that something was done; note is one of Notes.
func (r *Request) Done(path, note string) error {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return r.SeeOther(path + separator + "done=" + note)
}

// LocalPath returns the path and query of a page of the console, otherwise if the text
// is anything that could lead a browser elsewhere (CWE-601).
func LocalPath(text, otherwise string) string {
	u, err := url.Parse(text)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") {
		return otherwise
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c == '\\' || c == 0x7f {
			return otherwise
		}
	}
	if strings.HasPrefix(u.EscapedPath(), "/%2f") || strings.HasPrefix(u.EscapedPath(), "/%5c") || strings.Contains(u.Path, "\\") {
		return otherwise
	}
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, Fragment: u.Fragment}).String()
}
