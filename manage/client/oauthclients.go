package client

import (
	"context"
	"net/http"
	"time"

	"keyward/authz"
	"keyward/manage/registry"
	"keyward/store"
)

// aboutOAuthClient sends the request about an OAuth client to the path below the
// client's. What is not an id is not sent: it may be a secret, and a path is written to
// logs. The answer is one about the client, as of a key.
func (c *Client) aboutOAuthClient(ctx context.Context, id, path string, q request, into any) error {
	if !store.ValidClientID(id) {
		return store.ErrNotFound
	}
	q.path = "/clients/" + id + path
	err := c.call(ctx, q, into)
	if view, ok := into.(*registry.ClientView); ok && err == nil && view.ID != id {
		return c.unexpected()
	}
	return err
}

// clientSecret takes the secret out of the answer to a request that made one. A public
// client has none.
func clientSecret(view registry.ClientView, err error) (registry.ClientView, authz.Secret, error) {
	secret := secretOf(view.Secret)
	view.Secret = ""
	if err == nil && secret.Empty() && !view.Public {
		err = ErrSecretLost
	}
	return view, secret, err
}

// CreateOAuthClient makes an OAuth client. With ErrSecretLost the client is there, and
// its secret is lost.
func (c *Client) CreateOAuthClient(ctx context.Context, in registry.ClientInput) (registry.ClientView, authz.Secret, error) {
	body := members{"grants": in.Grants}.put("name", in.Name)
	if len(in.RedirectURIs) > 0 {
		body["redirect_uris"] = in.RedirectURIs
	}
	if len(in.Scopes) > 0 {
		body["scopes"] = in.Scopes
	}
	if in.Public {
		body["public"] = true
	}
	var made registry.ClientView
	err := c.call(ctx, request{method: http.MethodPost, path: "/clients", body: body, once: true}, &made)
	if err == nil && !store.ValidClientID(made.ID) {
		err = c.unexpected()
	}
	return clientSecret(made, err)
}

// OAuthClient returns an OAuth client.
func (c *Client) OAuthClient(ctx context.Context, id string) (registry.ClientView, error) {
	var found registry.ClientView
	err := c.aboutOAuthClient(ctx, id, "", request{method: http.MethodGet}, &found)
	return found, err
}

// ListOAuthClients returns the OAuth clients that the filter selects, in the order of
// their creation.
func (c *Client) ListOAuthClients(ctx context.Context, f store.ClientFilter) ([]registry.ClientView, error) {
	return oldestFirst[registry.ClientView](ctx, c, "/clients", set("grant", string(f.Grant), "q", f.Text))
}

// RotateOAuthClient gives an OAuth client a new secret. With ErrSecretLost it has one,
// which is lost.
func (c *Client) RotateOAuthClient(ctx context.Context, id string, grace time.Duration) (registry.ClientView, authz.Secret, error) {
	var rotated registry.ClientView
	q := request{method: http.MethodPost, body: members{}.put("grace", durationText(grace)), once: true}
	err := c.aboutOAuthClient(ctx, id, "/rotate", q, &rotated)
	return clientSecret(rotated, err)
}

// DisableOAuthClient disables an OAuth client, or enables it again.
func (c *Client) DisableOAuthClient(ctx context.Context, id string, disabled bool) (registry.ClientView, error) {
	var after registry.ClientView
	err := c.aboutOAuthClient(ctx, id, "", request{method: http.MethodPatch, body: members{"disabled": disabled}}, &after)
	return after, err
}

// DeleteOAuthClient ends an OAuth client.
func (c *Client) DeleteOAuthClient(ctx context.Context, id string) error {
	return c.aboutOAuthClient(ctx, id, "", request{method: http.MethodDelete}, nil)
}
