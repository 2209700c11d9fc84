package verifier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/cache"
	"keyward/keystore"
	"keyward/verifier/password"
)

// BasicConfig says what a Basic verifier is made of. All parts but RenewAfter and VerifyHash are needed.
type BasicConfig struct {
	Users        UserStore
	Fingerprints *Fingerprints
	Pool         *password.Pool[KnownPassword]
	Attempts     *password.Attempts
	// Decoy returns a stored hash to verify the password against where there is
	// no such user, or none with a password, so that this takes as long.
	Decoy func(user string) authz.Secret
	// Principals holds passwords that are right, under their fingerprints.
	Principals *cache.Cache[KnownPassword]
	// RenewAfter is how long one has to be in Principals to be put there anew when it
	// is used, so that it is hashed once for as long as it is in use: nothing but a
	// change of the user can make it wrong, and that is looked at each time.
	// 0: it is hashed again when its time is over.
	RenewAfter time.Duration
	// Wrong holds passwords that turned out wrong, under their fingerprints, so that who tries
	// again is told so, also where the hash came too late for an answer. It needs
	// to outlive retries alone: some seconds.
	Wrong *cache.Cache[WrongPassword]
	// Familiar holds fingerprints whose password was right before, true until it
	// turns out wrong. It holds neither secrets nor verdicts, and should outlive Principals' ttl by far:
	// what it knows goes first when there is much to hash, and is not refused for its address.
	Familiar *cache.Cache[bool]
	// VerifyHash tells whether a stored hash is of a password; nil is keystore.VerifyPassword.
	VerifyHash func(hash, password authz.Secret) (bool, error)
}

// KnownPassword is a user whose password was right. It holds as long as the
// user is not superseded, and beyond that while the hash stays the same.
type KnownPassword struct {
	principal *authz.Principal
	user      *keystore.User
	since     time.Time
}

// WrongPassword is the stored hash that a password is not of, empty where the user has none. It
// holds while the user has that hash.
type WrongPassword struct{ hash authz.Secret }

// Basic verifies users' passwords given with the Basic scheme (RFC 7617).
type Basic struct{ cfg BasicConfig }

// NewBasic returns a verifier of the given parts.
func NewBasic(cfg BasicConfig) (*Basic, error) {
	if cfg.Users == nil || cfg.Fingerprints == nil || cfg.Pool == nil || cfg.Attempts == nil ||
		cfg.Decoy == nil || cfg.Principals == nil || cfg.Wrong == nil || cfg.Familiar == nil {
		return nil, errors.New("verifier: a part is missing from BasicConfig")
	}
	if cfg.VerifyHash == nil {
		cfg.VerifyHash = keystore.VerifyPassword
	}
	return &Basic{cfg}, nil
}

var (
	errRateLimited = &authz.CredentialError{Reason: authz.RateLimited}
	errOverloaded  = &authz.CredentialError{Reason: authz.Overloaded}
)

// Verify implements authz.Verifier.
func (b *Basic) Verify(ctx context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	if c.Scheme != authz.SchemeBasic {
		return nil, authz.ErrNotMine
	}
	if !keystore.ValidPassword(c.Secret) {
		return nil, errWrongPassword
	}
	id := b.cfg.Fingerprints.Of("basic", c.User, c.Secret.Reveal())
	if known, ok := b.remembered(&id, now); ok {
		return known.answer()
	}
	return b.verify(ctx, c, id, now)
}

// verify is for what is not cached. What came out is asked for again if the
// user has another hash by then.
func (b *Basic) verify(ctx context.Context, c *authz.Credential, id cache.Key, now time.Time) (*authz.Principal, error) {
	if err := b.cfg.Users.Ready(); err != nil {
		return nil, fmt.Errorf("looking up a user: %w", err)
	}
	if b.knownWrong(&id, c.User, now) {
		return nil, errWrongPassword
	}
	for range 2 {
		known, err := b.compute(ctx, c, id, now)
		if err != nil {
			return nil, err
		}
		if known, ok := b.renewed(&id, known, now); ok {
			return known.answer()
		}
	}
	return nil, errors.New("the user's password changed while it was verified, twice")
}

// answer is where a disabled user is told so: only after the right password.
func (k *KnownPassword) answer() (*authz.Principal, error) {
	if k.user.Disabled {
		return nil, &authz.CredentialError{Reason: authz.DisabledUser, Principal: k.principal}
	}
	return k.principal, nil
}

// remembered returns what is cached, if it holds or can be made to.
func (b *Basic) remembered(id *cache.Key, now time.Time) (KnownPassword, bool) {
	known, ok := b.cfg.Principals.Get(id, now)
	if !ok {
		return KnownPassword{}, false
	}
	return b.renewed(id, known, now)
}

// renewed brings what is known to what the file says now. That is impossible
// where the user is gone or has another hash, which has to be verified anew.
func (b *Basic) renewed(id *cache.Key, known KnownPassword, now time.Time) (KnownPassword, bool) {
	if !known.user.Superseded() {
		if b.cfg.RenewAfter > 0 && now.Sub(known.since) >= b.cfg.RenewAfter {
			known.since = now
			b.cfg.Principals.Put(id, known, now)
		}
		return known, true
	}
	user, found := b.cfg.Users.Lookup(known.user.Name)
	if !found || user.Password != known.user.Password {
		return KnownPassword{}, false
	}
	known = passwordOf(user, now)
	b.cfg.Principals.Put(id, known, now)
	return known, true
}

// knownWrong tells whether the password was wrong a moment ago and the user's is the same still.
func (b *Basic) knownWrong(id *cache.Key, name string, now time.Time) bool {
	wrong, ok := b.cfg.Wrong.Get(id, now)
	if !ok {
		return false
	}
	hash := authz.Secret{}
	if user, found := b.cfg.Users.Lookup(name); found {
		hash = user.Password
	}
	return hash == wrong.hash
}

func passwordOf(user *keystore.User, now time.Time) KnownPassword {
	return KnownPassword{user: user, since: now, principal: &authz.Principal{
		AuthMethod: authz.AuthMethodBasic, User: user.Name,
		Scopes: user.Scopes, Paths: authz.AnyPath(), UserPaths: user.Paths,
	}}
}

// compute has the password hashed, or waits for who has the same one hashed.
func (b *Basic) compute(ctx context.Context, c *authz.Credential, id cache.Key, now time.Time) (KnownPassword, error) {
	known, err := b.cfg.Pool.Do(ctx, id, func() (password.Job[KnownPassword], error) { return b.admit(c, id, now) })
	if errors.Is(err, password.ErrBusy) {
		return KnownPassword{}, errOverloaded
	}
	return known, err
}

// admit makes a job of the attempt, unless its address has failed too often. What was
// right before is not held up by what others try from the same address. A user name
// over its budget only waits longer: refusing it would let anybody lock out anybody.
func (b *Basic) admit(c *authz.Credential, id cache.Key, now time.Time) (password.Job[KnownPassword], error) {
	a := &attempt{Basic: b, id: id, user: c.User, password: c.Secret, now: now, Attempt: b.cfg.Attempts.Attempt(c.Client.Address(), c.User)}
	standing := password.Standing{Class: password.Familiar}
	if a.familiar, _ = b.cfg.Familiar.Get(&id, now); !a.familiar {
		standing = a.Ask(now)
		if !a.Allowed(now) {
			return password.Job[KnownPassword]{}, errRateLimited
		}
	}
	return password.Job[KnownPassword]{Standing: standing, Owner: c.User, Run: a.run}, nil
}

// attempt is a password on its way to being hashed.
type attempt struct {
	*Basic
	password.Attempt
	id       cache.Key
	user     string
	password authz.Secret
	familiar bool
	now      time.Time
}

// run verifies the password against the user as the file has it when the hash is computed.
// It counts against its address only now, and only when it is wrong: what never got
// hashed told nobody anything, and those who are right may be many behind one address.
func (a *attempt) run() (KnownPassword, error) {
	if known, ok := a.remembered(&a.id, a.now); ok {
		return known, nil // an equal one ended between our look and our job
	}
	if !a.familiar && !a.Allowed(a.now) {
		return KnownPassword{}, errRateLimited // for what failed while this one waited
	}
	user, found := a.cfg.Users.Lookup(a.user)
	var stored authz.Secret
	if found {
		stored = user.Password
	}
	hash := stored
	if stored.Empty() {
		hash = a.cfg.Decoy(a.user)
	}
	right, err := a.cfg.VerifyHash(hash, a.password)
	if err != nil {
		return KnownPassword{}, fmt.Errorf("verifying a password: %w", err)
	}
	if !right || stored.Empty() {
		a.Failed(a.now)
		a.cfg.Wrong.Put(&a.id, WrongPassword{stored}, a.now)
		if a.familiar {
			a.cfg.Familiar.Put(&a.id, false, a.now)
		}
		return KnownPassword{}, errWrongPassword
	}
	known := passwordOf(user, a.now)
	a.cfg.Familiar.Put(&a.id, true, a.now)
	a.cfg.Principals.Put(&a.id, known, a.now)
	return known, nil
}
