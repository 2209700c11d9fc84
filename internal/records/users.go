package records

import (
	"context"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/store"
)

// Users changes users.
type Users struct{ config manage.Config }

// NewUsers returns what changes the editor's users. now may be nil: time.Now.
func NewUsers(editor store.Editor[store.UserRecord], now func() time.Time) *Users {
	return &Users{manage.Config{Stores: manage.Stores{UserEditor: editor}, HashPassword: hashPassword, Now: now}}
}

// UserPatch is what is to change of a user; nil is what is to stay.
type UserPatch struct {
	Paths    *[]string // empty: anywhere
	Scopes   *[]string
	Disabled *bool
	Password *authz.Secret
}

// Set makes a user, or changes what the patch gives of one.
func (u *Users) Set(ctx context.Context, name string, ifMatch store.Version, p UserPatch) (store.UserRecord, error) {
	patch := manage.UserPatch{Scopes: p.Scopes, Paths: p.Paths, Disabled: p.Disabled}
	r, err := manage.New(u.config).SetUser(ctx, operator, manage.UserRef{Name: name, IfMatch: ifMatch}, patch, p.Password)
	return r, causeOf(err)
}

// Import imports users of another system.
func (u *Users) Import(ctx context.Context, users []store.ImportedUser) ([]store.UserRecord, error) {
	all, err := manage.New(u.config).ImportUsers(ctx, operator, users)
	return all, causeOf(err)
}

// Delete ends a user, and its keys until latestKey.
func (u *Users) Delete(ctx context.Context, name string, ifMatch store.Version, latestKey time.Time) error {
	config := u.config
	config.LatestKey = func(context.Context, string) (time.Time, error) { return latestKey, nil }
	return causeOf(manage.New(config).DeleteUser(ctx, operator, manage.UserRef{Name: name, IfMatch: ifMatch}))
}
