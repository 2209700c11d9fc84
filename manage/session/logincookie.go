package session

import (
	"net/http"
	"time"

	"keyward/authz"
)

// LoginCookieName is the name of the cookie of a login with an OpenID provider that has
// begun and not ended. The session's cookie cannot do: the browser does not send one that
// is SameSite=Strict when the provider sends it back.
const LoginCookieName = authz.OwnCookiePrefix + "login"

// SetLoginCookie gives the browser the cookie of a login for that long.
func SetLoginCookie(value authz.Secret, age time.Duration) string {
	c := loginCookie(value.Reveal())
	c.MaxAge = int(age.Seconds())
	return c.String()
}

// ClearLoginCookie takes the cookie from the browser.
func ClearLoginCookie() string {
	c := loginCookie("")
	c.MaxAge = -1
	return c.String()
}

func loginCookie(value string) http.Cookie {
	c := cookie(value)
	c.Name, c.SameSite = LoginCookieName, http.SameSiteLaxMode
	return c
}
