package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"keyward/authz"
	"keyward/manage"
	"keyward/store"
)

func userPath(name string) string { return "/users/" + url.PathEscape(name) }

// userAnswer is a user in an answer.
type userAnswer struct {
	manage.UserView
	ETag string `json:"etag"`
}

// SetUser makes the user, or changes what the patch gives of it, and its password if
// there is one. A user who is there gets a password in a request of its own: if one of
// the two is refused, the error says which is done.
func (c *Client) SetUser(ctx context.Context, name string, patch manage.UserPatch, password *authz.Secret) (view manage.UserView, made bool, err error) {
	var user userAnswer
	err = c.call(ctx, request{method: http.MethodGet, path: userPath(name)}, &user)
	switch {
	case errors.Is(err, store.ErrNotFound):
		view, err = c.createUser(ctx, name, patch, password)
		return view, true, err
	case err != nil:
		return manage.UserView{}, false, err
	}
	view, err = c.changeUser(ctx, &user, patch, password)
	return view, false, err
}

func (c *Client) createUser(ctx context.Context, name string, patch manage.UserPatch, password *authz.Secret) (manage.UserView, error) {
	body := userPatchOf(&patch)
	if body["paths"] == nil {
		delete(body, "paths")
	}
	body["name"] = name
	if password != nil {
		body["password"] = password.Reveal()
	}
	var user userAnswer
	err := c.call(ctx, request{method: http.MethodPost, path: "/users", body: body, once: true}, &user)
	return user.UserView, err
}

// changeUser changes a user. Of the two requests the first is that after which less is
// permitted than before: to disable the user, else to replace the password.
func (c *Client) changeUser(ctx context.Context, user *userAnswer, patch manage.UserPatch, password *authz.Secret) (manage.UserView, error) {
	settings := userPatchOf(&patch)
	setPassword := func() error {
		if password == nil {
			return nil
		}
		body := members{"password": password.Reveal()}
		return c.call(ctx, request{method: http.MethodPost, path: userPath(user.Name) + "/password", body: body}, nil)
	}
	setSettings := func() error {
		if len(settings) == 0 {
			return c.call(ctx, request{method: http.MethodGet, path: userPath(user.Name)}, user)
		}
		return c.call(ctx, request{method: http.MethodPatch, path: userPath(user.Name), body: settings}, user)
	}
	steps := []struct {
		do   func() error
		done error // what is done, if the other step is refused
	}{{setPassword, errPasswordSet}, {setSettings, errSettingsSet}}
	if patch.Disabled != nil && *patch.Disabled {
		steps[0], steps[1] = steps[1], steps[0]
	}
	if err := steps[0].do(); err != nil {
		return manage.UserView{}, err
	}
	if err := steps[1].do(); err != nil {
		if password != nil && len(settings) > 0 {
			err = errors.Join(steps[0].done, err)
		}
		return manage.UserView{}, err
	}
	return user.UserView, nil
}

var (
	errPasswordSet = errors.New("the password is set, and the rest is not changed")
	errSettingsSet = errors.New("the settings are changed, and the password is not set")
)

// userPatchOf returns the merge patch.
func userPatchOf(p *manage.UserPatch) members {
	m := members{}
	if p.Scopes != nil {
		m["scopes"] = append([]string{}, *p.Scopes...)
	}
	if p.Paths != nil {
		m["paths"] = listOrNull(*p.Paths)
	}
	for name, flag := range map[string]*bool{"disabled": p.Disabled, "must_change": p.MustChange, "service": p.Service} {
		if flag != nil {
			m[name] = *flag
		}
	}
	return m
}

// ListUsers returns the users in the order of their creation.
func (c *Client) ListUsers(ctx context.Context) ([]manage.UserView, error) {
	return oldestFirst[manage.UserView](ctx, c, "/users", url.Values{})
}

// DeleteUser ends a user, its keys and its tokens.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: userPath(name)}, nil)
}
