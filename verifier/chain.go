// Package verifier answers whose credential it is that a request shows: one
// file per kind of credential. It refuses to look at places and at what is
// allowed there, and it never lets a credential that one kind has refused be
// tried by another.
package verifier

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
)

// Chain asks its verifiers in order until one knows the kind of credential.
type Chain []authz.Verifier

// Verify implements authz.Verifier. A credential of an unknown kind is refused.
func (c Chain) Verify(ctx context.Context, cred *authz.Credential, now time.Time) (*authz.Principal, error) {
	for _, v := range c {
		if p, err := v.Verify(ctx, cred, now); err == nil || !errors.Is(err, authz.ErrNotMine) {
			return p, err
		}
	}
	if cred.Scheme == authz.SchemeBasic {
		return nil, errWrongPassword
	}
	return nil, errInvalidToken
}

// The refusals that say nothing but their reason, made once.
var (
	errInvalidToken  = &authz.CredentialError{Reason: authz.InvalidToken}
	errWrongPassword = &authz.CredentialError{Reason: authz.WrongPassword}
	errUnknownKey    = &authz.CredentialError{Reason: authz.UnknownKey}
	errRateLimited   = &authz.CredentialError{Reason: authz.RateLimited}
	errOverloaded    = &authz.CredentialError{Reason: authz.Overloaded}
)
