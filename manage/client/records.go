package client

import (
	"context"
	"errors"
	"net/http"

	"keyward/apikey"
	"keyward/manage"
	"keyward/store"
	"keyward/store/audit"
)

// RevokeToken revokes tokens: that with the id, those of the subject, or all, that were
// issued before the time of the revocation.
func (c *Client) RevokeToken(ctx context.Context, r store.Revocation) (store.Revocation, error) {
	body := members{}.put("jti", r.TokenID, "subject", r.Subject, "issued_before", instant(r.IssuedBefore))
	var made store.Revocation
	err := c.call(ctx, request{method: http.MethodPost, path: "/revocations", body: body, once: true}, &made)
	return made, err
}

// AuditLog returns the entries that the filter selects, with the newest first.
func (c *Client) AuditLog(ctx context.Context, f store.AuditFilter) ([]audit.Entry, error) {
	return listAll[audit.Entry](ctx, c, "/audit", set("actor", f.Actor, "target", f.Record, "action", string(f.Action), "since", instant(f.Since)))
}

// ErrNoLimit is that a key has no rate limit.
var ErrNoLimit = errors.New("no limit is set for such a key")

// KeyLimit returns what is left of a key's rate limit.
func (c *Client) KeyLimit(ctx context.Context, id string) (manage.KeyLimit, error) {
	var found struct {
		Limit *manage.KeyLimit `json:"limit"`
	}
	if _, ok := apikey.ParseID([]byte(id)); !ok {
		return manage.KeyLimit{}, store.ErrNotFound
	}
	if err := c.call(ctx, request{method: http.MethodGet, path: "/limits/" + id}, &found); err != nil {
		return manage.KeyLimit{}, err
	}
	if found.Limit == nil {
		return manage.KeyLimit{}, ErrNoLimit
	}
	return *found.Limit, nil
}

// ResetKeyLimit makes a key's count that of one never used.
func (c *Client) ResetKeyLimit(ctx context.Context, id string) error {
	if _, ok := apikey.ParseID([]byte(id)); !ok {
		return store.ErrNotFound
	}
	return c.call(ctx, request{method: http.MethodDelete, path: "/limits/" + id}, nil)
}
