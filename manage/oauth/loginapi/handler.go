// Package loginapi answers a login endpoint in JSON, for the API's own front end and programs:
// POST /v1/auth/login with name and password, /refresh and /logout.
package loginapi

import (
	"context"
	"net/http"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/gate"
	"keyward/manage/oauth"
	"keyward/manage/session"
)

// The paths.
const (
	basePath    = "/v1/auth"
	LoginPath   = basePath + "/login"
	RefreshPath = basePath + "/refresh"
	LogoutPath  = basePath + "/logout"
)

// Config is what a Handler is made of. All are required.
type Config struct {
	// Service is the one in force; Settings too.
	Service  func() *oauth.Service
	Settings func() Settings
	Gate     *gate.Gate
	CallOf   func(*http.Request) access.Call
	// Check has the secret that was sent to the path verified as every credential is:
	// limited, counted and logged. It returns a function that writes the denial, nil for none.
	Check func(hr *http.Request, path string, secret authz.Secret, v authz.Verifier) (deny func(http.ResponseWriter))
	// Deny answers for another reason than a credential.
	Deny func(w http.ResponseWriter, hr *http.Request, reason authz.Reason)
}

// Settings are what the configuration says.
type Settings struct {
	Cookie     string // the name of the cookie with the access token; "": tokens are in bodies alone
	RefreshTTL time.Duration
	Origin     session.Origin // where browsers find the endpoint
}

// Handler answers the requests.
type Handler struct {
	Config
	mux *http.ServeMux
}

// New returns a Handler.
func New(cfg Config) *Handler {
	h := &Handler{Config: cfg, mux: http.NewServeMux()}
	h.mux.HandleFunc("POST "+LoginPath, h.bounded(h.login))
	h.mux.HandleFunc("POST "+RefreshPath, h.bounded(h.refresh))
	h.mux.HandleFunc("POST "+LogoutPath, h.bounded(h.logout))
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, hr *http.Request) { h.mux.ServeHTTP(w, hr) }

// bounded has a request take one of the places, and a time.
func (h *Handler) bounded(answer func(http.ResponseWriter, *http.Request, body)) http.HandlerFunc {
	return func(w http.ResponseWriter, hr *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !h.Gate.Enter() {
			h.Deny(w, hr, authz.Overloaded)
			return
		}
		defer h.Gate.Leave()
		ctx, cancel := context.WithTimeout(hr.Context(), gate.RequestTime)
		defer cancel()
		hr = hr.WithContext(ctx)
		sent, wrong := readBody(w, hr)
		if wrong != nil {
			wrong.write(w)
			return
		}
		answer(w, hr, sent)
	}
}

func (h *Handler) login(w http.ResponseWriter, hr *http.Request, sent body) {
	settings := h.Settings()
	user, password := sent.text("username"), authz.NewSecret(sent.text("password"))
	switch {
	case user == "" || password.Empty():
		badRequest("username and password are needed").write(w)
		return
	case sent.Cookie && settings.Cookie == "":
		badRequest("cookie: the issuer sets none (issuer.cookie)").write(w)
		return
	}
	var tokens oauth.Tokens
	var failed error
	deny := h.Check(hr, LoginPath, password, verify(func(ctx context.Context) error {
		tokens, failed = h.Service().Login(ctx, h.CallOf(hr), user, password)
		if fault.CodeOf(failed) == fault.Invalid {
			return &authz.CredentialError{Reason: authz.WrongPassword}
		}
		return failed
	}))
	h.answer(w, tokens, failed, deny, sent.Cookie)
}

func (h *Handler) refresh(w http.ResponseWriter, hr *http.Request, sent body) {
	token, byCookie, wrong := h.refreshToken(hr, sent)
	switch {
	case wrong != nil:
		wrong.write(w)
		return
	case token.Empty():
		badRequest("refresh_token is needed").write(w)
		return
	}
	var tokens oauth.Tokens
	var failed error
	deny := h.Check(hr, RefreshPath, token, verify(func(ctx context.Context) error {
		tokens, failed = h.Service().Refresh(ctx, h.CallOf(hr), token)
		if fault.CodeOf(failed) == fault.NotFound {
			return &authz.CredentialError{Reason: authz.InvalidToken}
		}
		return failed
	}))
	h.answer(w, tokens, failed, deny, byCookie)
}

func (h *Handler) logout(w http.ResponseWriter, hr *http.Request, sent body) {
	token, byCookie, wrong := h.refreshToken(hr, sent)
	if wrong != nil {
		wrong.write(w)
		return
	}
	if !token.Empty() {
		if err := h.Service().Logout(hr.Context(), h.CallOf(hr), token); err != nil {
			h.Deny(w, hr, authz.Unavailable)
			return
		}
	}
	if byCookie {
		h.clearCookies(w)
	}
	w.WriteHeader(http.StatusNoContent)
}

// answer answers with the tokens, or why there are none.
func (h *Handler) answer(w http.ResponseWriter, tokens oauth.Tokens, failed error, deny func(http.ResponseWriter), inCookies bool) {
	switch {
	case fault.CodeOf(failed) == fault.Forbidden:
		(&problem{http.StatusForbidden, "password_change_required", fault.AsError(failed).Detail}).write(w)
	case deny != nil:
		deny(w)
	case inCookies:
		h.setCookies(w, tokens)
		writeJSON(w, map[string]string{"expires_at": tokens.Expires.Format(time.RFC3339)})
	default:
		writeJSON(w, map[string]string{
			"token": tokens.Access.Reveal(), "expires_at": tokens.Expires.Format(time.RFC3339), "refresh_token": tokens.Refresh.Reveal(),
		})
	}
}

// verify is a verifier that does what the request is about. That a password must be changed
// first does not count as a failed attempt.
type verify func(ctx context.Context) error

// Verify implements authz.Verifier.
func (v verify) Verify(ctx context.Context, _ *authz.Credential, _ time.Time) (*authz.Principal, error) {
	err := v(ctx)
	switch fault.CodeOf(err) {
	case fault.RateLimited:
		return nil, &authz.CredentialError{Reason: authz.RateLimited}
	case fault.Overloaded:
		return nil, &authz.CredentialError{Reason: authz.Overloaded}
	case fault.Forbidden:
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return &authz.Principal{AuthMethod: authz.AuthMethodAnonymous}, nil
}
