package session

import (
	"net/http"

	"keyward/authz"
)

// CookieName is the name of the session's cookie. Its prefix binds it to the host that
// set it, over TLS or on the machine itself (RFC 6265bis section 4.1.3).
const CookieName = authz.OwnCookiePrefix + "console"

// SetCookie gives the browser the cookie of a session, for as long as it runs; the
// server ends it earlier.
func SetCookie(token authz.Secret) string {
	c := cookie(token.Reveal())
	return c.String()
}

// ClearCookie takes the cookie from the browser.
func ClearCookie() string {
	c := cookie("")
	c.MaxAge = -1
	return c.String()
}

func cookie(value string) http.Cookie {
	return http.Cookie{Name: CookieName, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}
