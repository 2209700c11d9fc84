// Package login authenticates users by name and password. It bounds the work:
// it remembers which passwords were right or wrong under their fingerprints,
// and has all others hashed by a [password.Pool], within budgets of failed
// attempts. It does not depend on requests: the Basic scheme is one caller, a
// login endpoint can be another.
package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/authz/nowait"
	"keyward/cache"
	"keyward/keyindex"
	"keyward/passwordhash"
	"keyward/verifier/fingerprint"
	"keyward/verifier/password"
)

// UserStore looks up users.
type UserStore interface {
	// Ready returns why Lookup cannot be relied on yet, nil if it can.
	Ready() error
	// Lookup returns the user, disabled ones too.
	Lookup(name string) (*keyindex.User, bool)
}

// Config has the parts of an Authenticator. All but RenewAfter and VerifyHash
// are required.
type Config struct {
	Users        UserStore
	Fingerprints *fingerprint.Hasher
	Pool         *password.Pool
	Attempts     *password.Attempts
	// DummyHash returns a stored hash to verify the password against if there
	// is no such user, or none with a password, so that this takes as long.
	DummyHash func(user string) authz.Secret
	// Accounts holds the accounts of passwords that are right, under their
	// fingerprints.
	Accounts *cache.Cache[CachedAccount]
	// RenewAfter is the age at which a cache hit extends the entry's lifetime,
	// so that a password in steady use is hashed once. This is safe because
	// every hit checks that the user is unchanged. 0 disables renewal.
	RenewAfter time.Duration
	// Wrong holds passwords that turned out wrong, under their fingerprints, so
	// that a retry is refused at once, even if the hash came too late for the
	// first answer. It needs to outlive retries only: some seconds.
	Wrong *cache.Cache[WrongPassword]
	// Trusted holds fingerprints whose password was right before, true until it
	// turns out wrong. It holds neither secrets nor verdicts, and should
	// outlive Accounts' entries by far: a trusted password is hashed first, and
	// is not refused for the failures of its address.
	Trusted *cache.Cache[bool]
	// VerifyHash reports whether a stored hash is of a password; nil is
	// passwordhash.Verify.
	VerifyHash func(hash, password authz.Secret) (bool, error)
}

// Authenticator authenticates users by name and password.
type Authenticator struct{ cfg Config }

// New returns an Authenticator of the given parts.
func New(cfg Config) (*Authenticator, error) {
	if cfg.Users == nil || cfg.Fingerprints == nil || cfg.Pool == nil || cfg.Attempts == nil ||
		cfg.DummyHash == nil || cfg.Accounts == nil || cfg.Wrong == nil || cfg.Trusted == nil {
		return nil, errors.New("login: a part is missing from Config")
	}
	if cfg.VerifyHash == nil {
		cfg.VerifyHash = passwordhash.Verify
	}
	return &Authenticator{cfg}, nil
}

// Attempt is one attempt to log in.
type Attempt struct {
	User     string
	Password authz.Secret
	Client   authz.RawAddress // failed attempts are counted for it
}

// Account is a user whose password was right.
type Account struct {
	User      *keyindex.User
	Principal *authz.Principal // shared, must not be modified
}

// The errors that need no detail, made once. Verifiers of other credentials
// return them too.
var (
	ErrWrongPassword = &authz.CredentialError{Reason: authz.WrongPassword}
	ErrRateLimited   = &authz.CredentialError{Reason: authz.RateLimited}
	ErrOverloaded    = &authz.CredentialError{Reason: authz.Overloaded}
)

// Authenticate returns the account of the user if the password is right. The
// error is an [authz.CredentialError] if it is not, if the user is disabled, or
// if it was not verified because of a limit; any other error means that it
// cannot be determined.
func (a *Authenticator) Authenticate(ctx context.Context, in Attempt, now time.Time) (Account, error) {
	if !passwordhash.ValidPassword(in.Password) {
		return Account{}, ErrWrongPassword
	}
	id := a.cfg.Fingerprints.Sum("basic", in.User, in.Password.Reveal())
	if entry, ok := a.cached(&id, now); ok {
		return entry.result()
	}
	return a.verify(ctx, in, id, now)
}

// verify verifies a password that is not cached. It repeats the verification if
// the user's hash has changed by the time it ends.
func (a *Authenticator) verify(ctx context.Context, in Attempt, id cache.Key, now time.Time) (Account, error) {
	if err := a.cfg.Users.Ready(); err != nil {
		return Account{}, fmt.Errorf("looking up a user: %w", err)
	}
	if a.knownWrong(&id, in.User, now) {
		return Account{}, ErrWrongPassword
	}
	if err := nowait.Allowed(ctx); err != nil {
		return Account{}, err
	}
	for range 2 {
		entry, current, err := a.hash(ctx, in, id, now)
		if err != nil {
			return Account{}, err
		}
		if current {
			return entry.result()
		}
	}
	return Account{}, errors.New("the user's password changed while it was verified, twice")
}
