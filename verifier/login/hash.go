package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/cache"
	"keyward/verifier/password"
)

// hash has the password hashed, or waits for a concurrent attempt with the same
// one. It also reports whether the user still has the hash that the password
// matches.
func (a *Authenticator) hash(ctx context.Context, in Attempt, id cache.Key, now time.Time) (entry CachedAccount, current bool, err error) {
	var own *hashing // nil if a concurrent attempt has it hashed
	stored, err := a.cfg.Pool.Do(ctx, id, func() (password.Job, error) {
		own = &hashing{Authenticator: a, Attempt: a.cfg.Attempts.Attempt(in.Client.Address(), in.User), id: id, in: in, now: now}
		return own.admit()
	})
	switch {
	case errors.Is(err, password.ErrBusy):
		return CachedAccount{}, false, ErrOverloaded
	case err != nil:
		return CachedAccount{}, false, err
	case own != nil:
		entry, current = a.refresh(&id, own.entry, now)
		return entry, current, nil
	}
	user, found := a.cfg.Users.Lookup(in.User)
	if !found || user.Password != stored {
		return CachedAccount{}, false, nil
	}
	return newEntry(user, now), true, nil
}

// hashing is an attempt that waits for its password to be hashed.
type hashing struct {
	*Authenticator
	password.Attempt
	id      cache.Key
	in      Attempt
	trusted bool
	now     time.Time
	entry   CachedAccount // valid after verify
}

// admit makes a job of the attempt, unless its address has failed too often. A
// trusted password is not affected by what other clients at its address try. A
// user name over its budget only waits longer: refusing it would let any client
// lock out any user.
func (h *hashing) admit() (password.Job, error) {
	priority := password.Priority{Class: password.Trusted}
	if h.trusted, _ = h.cfg.Trusted.Get(&h.id, h.now); !h.trusted {
		priority = h.Record(h.now)
		if !h.Allowed(h.now) {
			return password.Job{}, ErrRateLimited
		}
	}
	return password.Job{Priority: priority, User: h.in.User, Verify: h.verify}, nil
}

// verify verifies the password against the user as stored when the hash is
// computed. It counts against the address only now, and only if the password is
// wrong: an attempt that was never hashed revealed nothing, and many users may
// share one address.
func (h *hashing) verify() (authz.Secret, error) {
	if entry, ok := h.cached(&h.id, h.now); ok {
		h.entry = entry
		return entry.account.User.Password, nil // a concurrent attempt ended between our look-up and our job
	}
	if !h.trusted && !h.Allowed(h.now) {
		return authz.Secret{}, ErrRateLimited // for attempts that failed while this one waited
	}
	user, found := h.cfg.Users.Lookup(h.in.User)
	var stored authz.Secret
	if found {
		stored = user.Password
	}
	hash := stored
	if stored.Empty() {
		hash = h.cfg.DummyHash(h.in.User)
	}
	right, err := h.cfg.VerifyHash(hash, h.in.Password)
	if err != nil {
		return authz.Secret{}, fmt.Errorf("verifying a password: %w", err)
	}
	if !right || stored.Empty() {
		h.Failed(h.now)
		h.cfg.Wrong.Put(&h.id, WrongPassword{stored}, h.now)
		if h.trusted {
			h.cfg.Trusted.Put(&h.id, false, h.now)
		}
		return authz.Secret{}, ErrWrongPassword
	}
	h.cfg.Trusted.Put(&h.id, true, h.now)
	h.entry = newEntry(user, h.now)
	h.cfg.Accounts.Put(&h.id, h.entry, h.now)
	return stored, nil
}
