package loginapi

import (
	"net/http"

	"keyward/authz"
	"keyward/manage/oauth"
)

// Tokens in cookies are for browsers: a script of the page cannot read them, and no other site
// can have them sent. The refresh token goes to the endpoint alone.

// refreshCookie is the name of the cookie with the refresh token.
func refreshCookie(access string) string { return access + "_refresh" }

// refreshToken returns the refresh token that was sent, in the body or in its cookie. One in a
// cookie must come from a page of the endpoint's own origin.
func (h *Handler) refreshToken(hr *http.Request, sent body) (token authz.Secret, byCookie bool, wrong *problem) {
	if text := sent.text("refresh_token"); text != "" {
		return authz.NewSecret(text), false, nil
	}
	settings := h.Settings()
	if settings.Cookie == "" {
		return authz.Secret{}, false, nil
	}
	found := hr.CookiesNamed(refreshCookie(settings.Cookie))
	switch {
	case len(found) == 0:
		return authz.Secret{}, false, nil
	case len(found) > 1:
		return authz.Secret{}, false, badRequest("several cookies have a refresh token")
	case !settings.Origin.Same(hr):
		return authz.Secret{}, false, &problem{http.StatusForbidden, "cross_origin", "a refresh token in a cookie is accepted from a page of this origin alone"}
	}
	return authz.NewSecret(found[0].Value), true, nil
}

func (h *Handler) setCookies(w http.ResponseWriter, t oauth.Tokens) {
	settings := h.Settings()
	h.setCookie(w, settings.Cookie, "/", t.Access.Reveal(), int(h.Service().AccessTTL.Seconds()))
	h.setCookie(w, refreshCookie(settings.Cookie), basePath, t.Refresh.Reveal(), int(settings.RefreshTTL.Seconds()))
}

func (h *Handler) clearCookies(w http.ResponseWriter) {
	name := h.Settings().Cookie
	h.setCookie(w, name, "/", "", -1)
	h.setCookie(w, refreshCookie(name), basePath, "", -1)
}

func (h *Handler) setCookie(w http.ResponseWriter, name, path, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: path, MaxAge: maxAge, HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode})
}
