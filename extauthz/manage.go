package extauthz

import (
	"context"
	"net/http"

	"keyward/authz"
)

// CheckManage decides a request to the management API, which this process serves
// itself. r is filled in from the request, and the decision is valid until r is reset.
// Headers about the client count only from a trusted proxy.
func (h *Handler) CheckManage(ctx context.Context, r *authz.Request, hr *http.Request) *authz.Decision {
	h.fill(r, hr)
	r.Transport = authz.TransportManage
	return h.Checker.Check(ctx, r)
}

// CheckManageSecret is CheckManage for a secret in the request's path, which v verifies:
// a one-time link. Observers get target in place of the path.
func (h *Handler) CheckManageSecret(ctx context.Context, r *authz.Request, hr *http.Request, target string, secret authz.Secret, v authz.Verifier) *authz.Decision {
	h.fill(r, hr)
	r.Transport, r.Target = authz.TransportManage, target
	return h.Checker.AuthenticateSecret(ctx, r, secret, v)
}

// Deny answers with a decision of CheckManageSecret that denies.
func (h *Handler) Deny(w http.ResponseWriter, r *authz.Request, d *authz.Decision) {
	h.Renderer.Denial(r, d).write(w)
}

// ReadManage fills in r from the request, without a check, and returns its client.
func (h *Handler) ReadManage(r *authz.Request, hr *http.Request) authz.RawAddress {
	h.fill(r, hr)
	r.Transport = authz.TransportManage
	return h.Checker.ClientOf(r)
}

// RecordFailure counts the request as one with an invalid credential, against the
// limit of the client's address.
func (h *Handler) RecordFailure(ctx context.Context, r *authz.Request, hr *http.Request) {
	h.fill(r, hr)
	h.Checker.RecordFailure(ctx, r)
}

// Detail returns what clients learn of a denial for the reason, in English.
func Detail(reason authz.Reason) string { return detail(reason) }
