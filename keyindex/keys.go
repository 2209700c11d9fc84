package keyindex

import (
	"errors"
	"fmt"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/store"
)

// What Keys answers for a digest it has no key for; matched by errors.Is.
var (
	// ErrUnknown: there is no such key.
	ErrUnknown = errors.New("unknown key")
	// ErrNotLoaded: the store was never read with success, so it is not known.
	ErrNotLoaded = errors.New("not loaded")
)

// State is the stored state of a key's secret. Expiry is not a state: it depends
// on the clock. The zero State is invalid and never authenticates.
type State uint8

// The states.
const (
	// Revoked is also a deleted key, and a secret rotated away whose grace is over.
	Revoked State = iota
	Paused
	Active
)

// Key is what is known of the key that a secret belongs to.
type Key struct {
	ID, Name, User, Project string
	Rate                    string
	Paths                   urlpath.Set
	Scopes                  authz.Scopes
	HasScopes               bool // false: its user's scopes
	Created, Expires        time.Time
	NotBefore               time.Time // when the key begins; zero: at once
	Networks                Networks  // from which it may be used
	State                   State
	// Previous means that a rotation has replaced the secret.
	Previous bool
	// ValidUntil is when the secret ends by itself: the key's expiry or the end of
	// the grace, whichever is first. Zero is never.
	ValidUntil time.Time
	Revision   Revision

	rotated unixMicros
}

// SecretSince returns when the key was rotated last, or else created.
func (k *Key) SecretSince() time.Time {
	if k.rotated <= unixMicrosOf(k.Created) {
		return k.Created
	}
	return k.rotated.time()
}

// Revision is which version of a record an answer was made from. The zero Revision
// is never current.
type Revision struct {
	generation uint64
	slot       uint32
	ref        rowRef
}

// Keys holds the keys of one store for a server, which asks it on every request
// while a [store.Feed] keeps it up to date. No method of its readers ever waits.
type Keys struct {
	set  inForce[keySet]
	last uint64 // generation; the feed's own
}

// NewKeys makes a Keys that knows nothing yet and answers ErrNotLoaded.
func NewKeys() *Keys { return &Keys{} }

// NoKeys makes a Keys that is ready and has none, for a server without a store.
func NoKeys() *Keys {
	k := &Keys{}
	k.Commit(k.Begin())
	return k
}

// Find returns the key that has the secret with this digest. A revoked one is found
// too; whether it has expired is for the caller to check.
func (k *Keys) Find(d apikey.Digest, now time.Time) (key Key, err error) {
	set := k.set.Load()
	if set == nil {
		return key, k.set.missing()
	}
	held, revision, until, found := set.find(&d)
	if !found {
		return key, ErrUnknown
	}
	if err := key.read(set, held); err != nil {
		return Key{}, err
	}
	key.Revision, key.ValidUntil = revision, key.Expires
	if key.Previous = until != forever; key.Previous {
		key.capExpiry(until.time(), now)
	}
	return key, nil
}

// capExpiry has the secret end with its grace.
func (k *Key) capExpiry(until, now time.Time) {
	if !until.After(now) {
		k.State = Revoked
	}
	if k.ValidUntil.IsZero() || until.Before(k.ValidUntil) {
		k.ValidUntil = until
	}
}

// read decodes a row. It fills a Key in where it stands: to pass one on is to copy some 200 bytes.
func (k *Key) read(set *keySet, r row) error {
	d := r.decoder()
	k.ID, k.Name, k.User, k.Project, k.Rate = d.id, d.text(), d.text(), d.text(), d.text()
	k.HasScopes, k.Created, k.Expires = r.flag(rowHasScopes), r.created().time(), r.expires().time()
	k.Networks = AnyNetwork()
	if n := r.access(); n != inlineAccess {
		shared := set.access.get(n)
		k.Paths, k.Scopes = shared.paths, shared.scopes
	} else {
		var err error
		if k.Paths, k.Scopes, err = store.CompileAccess(d.list(), d.list()); err != nil {
			return fmt.Errorf("key %s: %w", k.ID, err)
		}
	}
	if r.flag(rowPaused | rowNotBefore | rowRotated | rowNetworks) {
		k.readOptional(r, &d)
	}
	switch {
	case r.flag(rowRevoked | rowDeleted):
	case r.flag(rowPaused):
		k.State = Paused
	default:
		k.State = Active
	}
	return nil
}

// FindID returns the key with that id, as its current secret finds it: a revoked or
// deleted one too.
func (k *Keys) FindID(id string) (key Key, err error) {
	set := k.set.Load()
	if set == nil {
		return key, k.set.missing()
	}
	held, revision, found := set.findID(id)
	if !found {
		return key, ErrUnknown
	}
	if err := key.read(set, held); err != nil {
		return Key{}, err
	}
	key.Revision, key.ValidUntil = revision, key.Expires
	return key, nil
}

// readOptional decodes what few rows have.
func (k *Key) readOptional(r row, d *rowDecoder) {
	k.rotated, k.NotBefore = r.rotated(), r.notBefore().time()
	if r.flag(rowNetworks) {
		k.Networks = d.networks()
	}
}

// RateOf returns the rate in the record of the key with that id, "" without one, and
// reports whether there is such a key.
func (k *Keys) RateOf(id string) (rate string, known bool) {
	set := k.set.Load()
	if set == nil {
		return "", false
	}
	held, _, found := set.findID(id)
	if !found {
		return "", false
	}
	var key Key
	err := key.read(set, held)
	return key.Rate, err == nil && !held.flag(rowDeleted)
}

// IsCurrent reports whether what was found with the revision is still what the store
// says. It is a few atomic loads.
func (k *Keys) IsCurrent(r Revision) bool {
	set := k.set.Load()
	return set != nil && r.generation == set.generation && set.rows.word(r.slot).Load() == uint64(r.ref)
}

// HasRawKeys reports whether there are keys of FormatRaw, whose form does not
// distinguish them from junk.
func (k *Keys) HasRawKeys() bool {
	set := k.set.committed.Load() // also while suspended: they are not junk then
	return set != nil && set.raw.Load() > 0
}

// Ready returns nil once keys are loaded, and from then on, also while they are
// suspended; before that, why not.
func (k *Keys) Ready() error {
	if err := k.set.ready(); !errors.Is(err, ErrSuspended) {
		return err
	}
	return nil
}

// Suspend has Find and FindID return ErrSuspended, and nothing be current, until
// Resume. What the feed brings meanwhile is in force then.
func (k *Keys) Suspend() { k.set.suspend() }

// Resume ends what Suspend began.
func (k *Keys) Resume() { k.set.resume() }

// Counts says how many keys there are in each state. A key is in one of them;
// deleted ones are in none. Rotating are those with an earlier secret in its grace.
type Counts struct{ Active, Rotating, Expiring, NotYetValid, Paused, Expired, Revoked int }

// Counts walks all keys, some ten nanoseconds each. Expiring are those that
// expire within soon. Of the states that a key is in, the last of Counts counts.
func (k *Keys) Counts(now time.Time, soon time.Duration) Counts {
	var c Counts
	set := k.set.Load()
	if set == nil {
		return c
	}
	at, later := unixMicrosOf(now), unixMicrosOf(now.Add(soon))
	set.rows.each(func(r row) {
		switch expires := r.expires(); {
		case r.flag(rowDeleted):
		case r.flag(rowRevoked):
			c.Revoked++
		case expires != 0 && expires <= at:
			c.Expired++
		case r.flag(rowPaused):
			c.Paused++
		case r.notBefore() > at:
			c.NotYetValid++
		case expires != 0 && expires <= later:
			c.Expiring++
		case r.inGrace(at):
			c.Rotating++
		default:
			c.Active++
		}
	})
	return c
}

// What the feed calls.

// Begin implements store.Sink.
func (k *Keys) Begin() store.Generation[store.KeyRecord] {
	k.last++
	return newKeySet(k.last)
}

// Commit implements store.Sink.
func (k *Keys) Commit(next store.Generation[store.KeyRecord]) {
	k.set.commit(next.(*keySet))
}

// Applied implements store.Sink.
func (k *Keys) Applied() {}

// Fault implements store.Sink.
func (k *Keys) Fault(reason error) { k.set.reason.Store(&reason) }
