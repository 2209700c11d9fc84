package keyindex

import (
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/store"
)

// User is the user that a key acts for. It is never changed: a later record
// about the same name makes another User and marks this one as stale.
type User struct {
	Name     string
	Paths    urlpath.Set
	Scopes   authz.Scopes
	Disabled bool         // so is every user whose name is reserved (ReservedUserName) or whose record is not supported
	Password authz.Secret // the hash, in the form it has in the store; empty: none, as for every service user

	// Gen is the generation of its tokens of Keyward's own issuer: those of an earlier one
	// have ended.
	Gen int64

	validSince unixMicros
	stale      atomic.Bool
}

// Since reports whether a key made or a token issued for the name at that time is
// this user's, and not ended: by deleting an earlier user of the same name, or by
// ending all that this one had. A zero time is before any user.
func (u *User) Since(made time.Time) bool {
	return u.validSince == 0 || unixMicrosOf(made) > u.validSince
}

// Stale reports whether the store says something else of this user now, or
// nothing. It is one atomic load.
func (u *User) Stale() bool { return u.stale.Load() }

// Users holds the users of one store for a server; a [store.Feed] keeps it up to date.
type Users struct {
	log  *slog.Logger
	seed maphash.Seed // of DummyHash, so that clients cannot know which name gets which
	set  inForce[userSet]
}

// NewUsers makes a Users that has none and is not ready.
func NewUsers() *Users {
	return &Users{log: slog.New(slog.DiscardHandler), seed: maphash.MakeSeed()}
}

// LogTo has it logged which users are disabled for their names. It is called
// before a feed follows.
func (u *Users) LogTo(log *slog.Logger) { u.log = log }

// Lookup finds a user, disabled ones too. Before Ready there are none.
func (u *Users) Lookup(name string) (*User, bool) {
	set := u.set.Load()
	if set == nil {
		return nil, false
	}
	return set.lookup(name)
}

// Ready returns why Lookup cannot be relied on: users are not loaded yet, or they are
// suspended. It is nil if it can.
func (u *Users) Ready() error {
	if err := u.set.ready(); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	return nil
}

// Suspend has Lookup find no user until Resume. Users that were found before are stale
// then, and stay so.
func (u *Users) Suspend() {
	u.set.suspend()
	if set := u.set.committed.Load(); set != nil {
		set.markStale()
	}
}

// Resume ends what Suspend began, and reports whether it had. Then its caller has the feed
// read all users again, since those of before are stale.
func (u *Users) Resume() bool { return u.set.resume() }

// DummyHash returns a stored hash to verify the password of an unknown user
// against, so that it takes as long as that of a known one, whatever kinds of
// hashes and costs the store has: the same name always gets the same one while
// the store does not change. It is empty if no user has a password.
func (u *Users) DummyHash(name string) authz.Secret {
	set := u.set.Load()
	if set == nil {
		return authz.Secret{}
	}
	set.mu.RLock()
	defer set.mu.RUnlock()
	if len(set.dummies) == 0 {
		return authz.Secret{}
	}
	return set.dummies[maphash.String(u.seed, name)%uint64(len(set.dummies))]
}

// Begin implements store.Sink.
func (u *Users) Begin() store.Generation[store.UserRecord] {
	return &userSet{byName: map[string]*User{}, since: map[string]time.Time{}}
}

// Commit lets the new users be found before the old ones report that they are
// stale.
func (u *Users) Commit(next store.Generation[store.UserRecord]) {
	set := next.(*userSet)
	if old := u.set.commit(set); old != nil {
		old.markStale()
	}
	u.logReserved(set)
}

// Applied implements store.Sink.
func (u *Users) Applied() { u.logReserved(u.set.committed.Load()) }

// logReserved names the users that are disabled for their names, each once per load.
func (u *Users) logReserved(set *userSet) {
	if set.reserved > 0 {
		u.log.Error("users disabled: a name that begins with k_ or c_ is taken for the id of a key or a client; make them again under other names",
			"users", set.reserved, "first", set.named)
		set.reserved, set.named = 0, nil
	}
}

// Fault implements store.Sink.
func (u *Users) Fault(reason error) { u.set.reason.Store(&reason) }

// userSet is what the users of a store came to when all of them were read.
type userSet struct {
	mu     sync.RWMutex
	byName map[string]*User

	// The writer's own.
	since    map[string]time.Time // User.validSince of those that have one, deleted ones too; it never goes back
	reserved int                  // users with reserved names that are yet to be logged
	named    []string             // the first of them

	dummies []authz.Secret // hashes of the users that the latest records are about
	oldest  int            // of the dummies, once there are enough
}

const (
	// maxDummies are enough to be like all of them.
	maxDummies = 64
	// maxNamed bounds how many users one log message names.
	maxNamed = 10
)

// addDummy is called with the lock held.
func (s *userSet) addDummy(hash authz.Secret) {
	switch {
	case hash.Empty():
	case len(s.dummies) < maxDummies:
		s.dummies = append(s.dummies, hash)
	default:
		s.dummies[s.oldest] = hash
		s.oldest = (s.oldest + 1) % maxDummies
	}
}

func (s *userSet) lookup(name string) (*User, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	user, found := s.byName[name]
	return user, found
}

func (s *userSet) markStale() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, user := range s.byName {
		user.stale.Store(true)
	}
}

// Apply puts a record in force: the new user is found before the old one reports
// that it is stale, so a caller that looks it up again gets the new one.
func (s *userSet) Apply(r *store.UserRecord) (time.Time, error) {
	user, err := s.user(r)
	if err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	old := s.byName[r.Name]
	if user != nil {
		s.byName[user.Name] = user
		s.addDummy(user.Password)
	} else {
		delete(s.byName, r.Name)
	}
	s.mu.Unlock()
	if old == nil {
		return time.Time{}, nil
	}
	old.stale.Store(true)
	if !old.Disabled && (user == nil || user.Disabled || user.validSince > old.validSince) {
		return r.At, nil
	}
	return time.Time{}, nil
}

// user makes the user that a record is about, nil for a deleted one. What ended
// with a deleted user stays ended, also if a program that does not know
// valid_since wrote the record.
func (s *userSet) user(r *store.UserRecord) (*User, error) {
	kept := r.Clone()
	r = &kept
	if r.Unsupported {
		r.Paths, r.Scopes, r.Disabled = nil, nil, true
	}
	paths, scopes, err := store.CompileAccess(r.Paths, r.Scopes)
	if err != nil {
		return nil, errAccess
	}
	if since := store.Latest(r.EndedAt(), s.since[r.Name]); !since.IsZero() {
		s.since[r.Name], r.ValidSince = since, since
	}
	if !r.Deleted.IsZero() {
		return nil, nil
	}
	if r.Service {
		r.Password = ""
	}
	if before := s.byName[r.Name]; before != nil { // as with valid_since
		r.Gen = max(r.Gen, before.Gen)
	}
	reserved := store.ReservedUserName(r.Name)
	if reserved && s.byName[r.Name] == nil {
		s.reserved++
		s.named = append(s.named, r.Name)[:min(len(s.named)+1, maxNamed)]
	}
	return &User{
		Name: r.Name, Paths: paths, Scopes: scopes, Disabled: r.Disabled || reserved,
		Password: authz.NewSecret(r.Password), Gen: r.Gen, validSince: unixMicrosOf(r.ValidSince),
	}, nil
}
