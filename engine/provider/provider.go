// Package provider makes the OpenID provider of the console's logins of what the
// configuration says of it. It asks the provider for nothing: one that cannot be reached
// delays no start and no reload.
package provider

import (
	"fmt"
	"reflect"

	"keyward/config"
	"keyward/manage/oidclogin"
	"keyward/manage/state"
	"keyward/reuse"
	"keyward/verifier/issuerhttp"
)

// name is that of the component in a generation, and of its section.
const name = "console.oidc"

// inputs are what a provider is made of.
type inputs struct {
	oidclogin.Config
	state *state.DB
}

func (in inputs) equal(other inputs) bool {
	return in.state == other.state && reflect.DeepEqual(in.Config, other.Config)
}

// Open returns the provider that the configuration names; nil if it names none. What the
// one of old has learned is kept unless something about it has changed, the secret in its
// file included. The state has the marks of the logins that are used.
func Open(next, old *reuse.Generation, cfg *config.Console, db *state.DB) (*oidclogin.Provider, error) {
	o := &cfg.OIDC
	if o.Issuer == "" {
		return nil, nil
	}
	secret, err := issuerhttp.ReadClientSecret(o.ClientSecretFile)
	if err != nil {
		return nil, fmt.Errorf("%s: client_secret_file: %w", name, err)
	}
	in := inputs{oidclogin.Config{
		Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: secret, RedirectURL: cfg.PublicURL + oidclogin.CallbackPath,
		UserClaim: o.UserClaim, RolesClaim: o.RolesClaim, Roles: o.Roles, Scopes: o.Scopes,
	}, db}
	p, err := reuse.OrFunc(next, old, name, in, inputs.equal, func() (*oidclogin.Provider, error) {
		made := in.Config
		made.MarkUsed = db.Codes.MarkUsed
		return oidclogin.New(made)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}
