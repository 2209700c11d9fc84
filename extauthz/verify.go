package extauthz

import (
	"context"
	"net/http"
	"time"

	"keyward/authz"
)

// verifyTimeout bounds the wait for a password hash or a token issuer. It is
// longer than Envoy's timeout, since no proxy waits for this response.
const verifyTimeout = 2 * time.Second

// verify answers a caller about its own credential. Every caller may use it;
// headers about the client count only from a trusted proxy.
func (h *Handler) verify(w http.ResponseWriter, hr *http.Request, r *authz.Request) {
	if hr.Method != http.MethodGet && hr.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	h.fill(r, hr)
	r.Transport = authz.TransportVerify
	ctx, cancel := context.WithTimeout(hr.Context(), verifyTimeout)
	defer cancel()
	d := h.Checker.Authenticate(ctx, r)
	if !d.Allowed() {
		h.Renderer.Denial(r, d).write(w)
		return
	}
	var expires *string
	if end := d.Principal.ExpiresAt; !end.IsZero() {
		text := end.UTC().Format(time.RFC3339)
		expires = &text
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	var user *string
	client := "" // set if a token stands for a client and not for a user
	if subject := d.Principal.Subject(); subject != "" {
		user = &subject
	} else {
		client = d.Principal.ClientID
	}
	_, _ = w.Write(encode(struct {
		Authenticated bool     `json:"authenticated"`
		UserID        *string  `json:"user_id"`
		ClientID      string   `json:"client_id,omitempty"`
		Scopes        []string `json:"scopes"`
		ExpiresAt     *string  `json:"expires_at"`
	}{true, user, client, append([]string{}, d.Principal.Scopes.Names()...), expires}))
}

// write writes the denial as an HTTP response.
func (denial Denial) write(w http.ResponseWriter) {
	for _, h := range denial.Headers {
		w.Header().Set(h.Name, h.Value)
	}
	w.WriteHeader(denial.Status)
	_, _ = w.Write(denial.Body)
}
