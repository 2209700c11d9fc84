package session

import (
	"net/http"

	"keyward/authz"
)

// IssuerCookieName is the name of the cookie of a session of the issuer's pages. The console's
// cannot do: it opens the console, and the browser does not send it where an application has
// sent the browser.
const IssuerCookieName = authz.OwnCookiePrefix + "issuer"

// SetIssuerCookie gives the browser the cookie of a session of the issuer's pages, for as long
// as it runs; the server ends it earlier.
func SetIssuerCookie(token authz.Secret) string {
	c := cookie(token.Reveal())
	c.Name, c.SameSite = IssuerCookieName, http.SameSiteLaxMode
	return c.String()
}

// Presented is the value of the cookie with the name that the request has; empty if it has
// none, or several.
func Presented(hr *http.Request, name string) authz.Secret {
	found := hr.CookiesNamed(name)
	if len(found) != 1 {
		return authz.Secret{}
	}
	return authz.NewSecret(found[0].Value)
}
