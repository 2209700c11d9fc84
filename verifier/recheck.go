package verifier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/keyindex"
	"keyward/verifier/login"
)

// RecheckConfig has the parts of a Recheck. Denied and Keys are required.
type RecheckConfig struct {
	// Denied is the decision of then.
	Denied *authz.Decision
	Keys   *APIKey
	Users  UserStore // nil: a user is only a name
	// Passwords means that users' passwords are accepted.
	Passwords   bool
	Revocations Revocations // nil: tokens cannot be revoked
	// HasUsers reports whether the subjects of an issuer's tokens are in Users.
	HasUsers func(issuer string) bool
}

// Recheck stands in for the verifiers when a denied request is decided again.
// The credential was not kept. Recheck takes any credential to be one of the
// principal that was identified then, and returns what that principal may do
// now. So it must never verify a client's request.
type Recheck struct{ cfg RecheckConfig }

// NewRecheck returns a verifier of the given parts.
func NewRecheck(cfg RecheckConfig) (*Recheck, error) {
	if cfg.Denied == nil || cfg.Denied.Allowed() || cfg.Keys == nil || cfg.HasUsers == nil || cfg.Passwords && cfg.Users == nil {
		return nil, errors.New("verifier: a part is missing from RecheckConfig")
	}
	return &Recheck{cfg}, nil
}

// Causes of what Recheck returns.
var (
	errNotKept    = errors.New("the credential is not kept, and no principal was identified by it")
	errSameAgain  = errors.New("as then: the credential is not kept")
	errGraceEnded = errors.New("the request had a secret that a rotation replaced, and whose grace is over")
)

// Verify implements authz.Verifier.
func (v *Recheck) Verify(_ context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	denied := v.cfg.Denied
	if denied.Principal == nil {
		if denied.Reason.Status() == 401 {
			return nil, &authz.CredentialError{Reason: denied.Reason, Cause: errSameAgain}
		}
		return nil, errNotKept
	}
	switch denied.Principal.AuthMethod {
	case authz.AuthMethodAPIKey:
		return v.key(denied.Principal, c.Client, now)
	case authz.AuthMethodBasic:
		return v.password(denied.Principal)
	case authz.AuthMethodJWT, authz.AuthMethodOAuth:
		return v.token(denied.Principal, now)
	default:
		return nil, errNotKept
	}
}

// key returns the principal of a key by its record, for the client of then. A previous secret ends with
// its grace, which then was the end of its principal.
func (v *Recheck) key(was *authz.Principal, client authz.RawAddress, now time.Time) (*authz.Principal, error) {
	p, err := v.cfg.Keys.principalOf(was.KeyID, client, now)
	if err == nil && was.PreviousSecret && !was.ExpiresAt.IsZero() && !now.Before(was.ExpiresAt) {
		return nil, &authz.CredentialError{Reason: authz.RevokedKey, Principal: p, Cause: errGraceEnded}
	}
	return p, err
}

// principalOf returns the principal of the key with that id, as Verify does for
// its current secret.
func (a *APIKey) principalOf(id string, client authz.RawAddress, now time.Time) (*authz.Principal, error) {
	key, err := a.cfg.Keys.FindID(id)
	if err != nil {
		return nil, lookupError(err)
	}
	known := CachedKey{}
	if err := a.loadFound(&key, &known); err != nil {
		return nil, err
	}
	if reason := known.reason(client, now); reason != authz.OK {
		return nil, known.refusal(reason)
	}
	return known.clone(), nil
}

// password returns the principal of a user by the user's record.
func (v *Recheck) password(was *authz.Principal) (*authz.Principal, error) {
	if !v.cfg.Passwords {
		return nil, &authz.CredentialError{Reason: authz.UnsupportedCredential, Principal: was}
	}
	user, err := v.enabledUser(was)
	if err != nil {
		return nil, err
	}
	return login.PrincipalOf(user), nil
}

// token returns the principal of a token: what the token granted, within what its
// user may do now. A token that was revoked or had expired does not come back. Of
// one that was valid it is known that it was issued before the denial.
func (v *Recheck) token(was *authz.Principal, now time.Time) (*authz.Principal, error) {
	p := *was
	switch denied := v.cfg.Denied; {
	case denied.Reason == authz.RevokedToken:
		return nil, &authz.CredentialError{Reason: authz.RevokedToken, Principal: was, Cause: errSameAgain}
	case denied.Reason == authz.ExpiredToken, !p.ExpiresAt.IsZero() && !now.Before(p.ExpiresAt):
		return nil, &authz.CredentialError{Reason: authz.ExpiredToken, Principal: was}
	case v.cfg.Revocations != nil:
		if err := v.cfg.Revocations.Ready(); err != nil {
			return nil, fmt.Errorf("looking up a revoked token: %w", err)
		}
		if v.cfg.Revocations.Revoked(keyindex.Token{Subject: revocationSubject(was), IssuedAt: denied.At}) {
			return nil, &authz.CredentialError{Reason: authz.RevokedToken, Principal: was}
		}
	}
	if v.cfg.HasUsers(p.Issuer) {
		user, err := v.enabledUser(was)
		if err != nil {
			return nil, err
		}
		p.UserPaths = user.Paths
	} else {
		p.UserPaths = urlpath.Any()
	}
	return &p, nil
}

// enabledUser returns the record of the principal's user.
func (v *Recheck) enabledUser(was *authz.Principal) (*keyindex.User, error) {
	if v.cfg.Users == nil {
		return nil, &authz.CredentialError{Reason: authz.DisabledUser, Principal: was}
	}
	if err := v.cfg.Users.Ready(); err != nil {
		return nil, fmt.Errorf("looking up a user: %w", err)
	}
	user, ok := v.cfg.Users.Lookup(was.User)
	if !ok || user.Disabled {
		return nil, &authz.CredentialError{Reason: authz.DisabledUser, Principal: was}
	}
	return user, nil
}
