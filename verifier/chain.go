// Package verifier determines whose credential a request presents, with one
// file per kind of credential. It decides nothing about paths or permissions,
// and it never lets a second verifier try a credential that the first has
// refused.
package verifier

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
	"keyward/verifier/login"
)

// Chain tries its verifiers in order until one recognizes the kind of
// credential.
type Chain []authz.Verifier

// Verify implements authz.Verifier. A credential of an unknown kind is invalid.
func (c Chain) Verify(ctx context.Context, cred *authz.Credential, now time.Time) (*authz.Principal, error) {
	for _, v := range c {
		if p, err := v.Verify(ctx, cred, now); err == nil || !errors.Is(err, authz.ErrNotMine) {
			return p, err
		}
	}
	if cred.Scheme == authz.SchemeBasic {
		return nil, login.ErrWrongPassword
	}
	return nil, errInvalidToken
}

// The errors that need no detail, made once. See package login for more.
var (
	errInvalidToken = &authz.CredentialError{Reason: authz.InvalidToken}
	errUnknownKey   = &authz.CredentialError{Reason: authz.UnknownKey}
)
