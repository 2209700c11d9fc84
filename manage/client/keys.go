package client

import (
	"context"
	"errors"
	"net/http"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage"
	"keyward/store"
	"keyward/usage"
)

// NewKey is what a new key is to be.
type NewKey struct {
	store.KeyParams
	// DefaultPrefix takes the server's prefix in place of that of the parameters.
	DefaultPrefix bool
}

// KeyChange is what can be done to a key beside changing its settings and secret.
type KeyChange string

// The changes.
const (
	Revoke   KeyChange = "revoke"
	Delete   KeyChange = "delete"
	Pause    KeyChange = "pause"
	Resume   KeyChange = "resume"
	EndGrace KeyChange = "end-grace"
)

// keyAnswer is a key in an answer.
type keyAnswer struct {
	manage.KeyView
	ETag string `json:"etag"`
}

// secret takes the secret out of the answer to a request that made one.
func (a *keyAnswer) secret(err error) (manage.KeyView, authz.Secret, error) {
	secret := secretOf(a.Key)
	a.Key = ""
	if err == nil && secret.Empty() {
		err = ErrSecretLost
	}
	return a.KeyView, secret, err
}

// secretOf returns the secret that an answer shows. What no request can carry is none: it
// would be printed as it is.
func secretOf(text string) authz.Secret {
	if authz.CheckKey(text, false) != nil {
		return authz.Secret{}
	}
	return authz.NewSecret(text)
}

// aboutKey sends the request about a key to the path below the key's. What is not
// an id is not sent: it may be a key, and a path is written to logs. An answer about
// another key, or none, is of a server that may have done nothing.
func (c *Client) aboutKey(ctx context.Context, id, path string, q request, into any) error {
	if _, ok := apikey.ParseID([]byte(id)); !ok {
		return store.ErrNotFound
	}
	q.path = "/keys/" + id + path
	err := c.call(ctx, q, into)
	if key, ok := into.(*keyAnswer); ok && err == nil && key.ID != id {
		return c.unexpected()
	}
	return err
}

// CreateKey makes a key. With ErrSecretLost the key is there, and its secret is lost.
func (c *Client) CreateKey(ctx context.Context, k NewKey) (manage.KeyView, authz.Secret, error) {
	body := settingsOf(&k.KeyParams)
	if !k.DefaultPrefix && k.Format != apikey.FormatHex {
		body["prefix"] = k.Prefix
	}
	body.put("name", k.Name, "user", k.User, "format", string(k.Format))
	var made keyAnswer
	err := c.call(ctx, request{method: http.MethodPost, path: "/keys", body: body, once: true}, &made)
	if _, ok := apikey.ParseID([]byte(made.ID)); err == nil && !ok {
		err = c.unexpected()
	}
	return made.secret(err)
}

// Key returns a key.
func (c *Client) Key(ctx context.Context, id string) (manage.KeyView, error) {
	var found keyAnswer
	err := c.aboutKey(ctx, id, "", request{method: http.MethodGet}, &found)
	return found.KeyView, err
}

// ListKeys returns the keys that the filter selects, in the order of their creation.
func (c *Client) ListKeys(ctx context.Context, f store.KeyFilter) ([]manage.KeyView, error) {
	query := set("user", f.User, "project", f.Project, "state", string(f.State), "q", f.Text, "older_than", durationText(f.OlderThan), "unused_for", durationText(f.UnusedFor), "expiring", durationText(f.Expiring))
	return oldestFirst[manage.KeyView](ctx, c, "/keys", query)
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// UpdateKey changes the settings of a key.
func (c *Client) UpdateKey(ctx context.Context, id string, patch manage.KeyPatch) (manage.KeyView, error) {
	var after keyAnswer
	err := c.aboutKey(ctx, id, "", request{method: http.MethodPatch, body: patchOf(&patch)}, &after)
	return after.KeyView, err
}

// RotateKey gives a key a new secret. With ErrSecretLost it has one, which is lost.
func (c *Client) RotateKey(ctx context.Context, id string, grace time.Duration) (manage.KeyView, authz.Secret, error) {
	var rotated keyAnswer
	q := request{method: http.MethodPost, body: members{}.put("grace", durationText(grace)), once: true}
	return rotated.secret(c.aboutKey(ctx, id, "/rotate", q, &rotated))
}

// ChangeKey makes one of the changes. The reason is for those that take one; "" is none.
func (c *Client) ChangeKey(ctx context.Context, id string, change KeyChange, reason string) (manage.KeyView, error) {
	if change == Delete {
		return c.deleteKey(ctx, id)
	}
	var after keyAnswer
	q := request{method: http.MethodPost, body: members{}.put("reason", reason), once: true}
	err := c.aboutKey(ctx, id, "/"+string(change), q, &after)
	return after.KeyView, err
}

// deleteKey deletes a key. The answer of the API has no record: what is returned is that
// of before, as one that has ended.
func (c *Client) deleteKey(ctx context.Context, id string) (manage.KeyView, error) {
	var before keyAnswer
	if err := c.aboutKey(ctx, id, "", request{method: http.MethodGet}, &before); err != nil {
		return manage.KeyView{}, err
	}
	err := c.aboutKey(ctx, id, "", request{method: http.MethodDelete}, nil)
	before.State = store.KeyRevoked
	return before.KeyView, err
}

// KeyUsage returns the use of a key, as far as the server knows it.
func (c *Client) KeyUsage(ctx context.Context, id string) (*usage.Usage, error) {
	var used usage.Usage
	if err := c.aboutKey(ctx, id, "/usage", request{method: http.MethodGet}, &used); err != nil {
		return nil, err
	}
	return &used, nil
}

// FindKey returns the key whose secret this is. One that was rotated away is in the
// state revoked.
func (c *Client) FindKey(ctx context.Context, secret authz.Secret) (manage.KeyView, error) {
	var found keyAnswer
	err := c.call(ctx, request{method: http.MethodPost, path: "/keys/verify", body: members{"key": secret.Reveal()}}, &found)
	if errors.Is(err, store.ErrInvalid) { // too long, or not a text
		err = store.ErrNotFound
	}
	return found.KeyView, err
}
