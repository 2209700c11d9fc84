package keystore

import (
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"keyward/authz"
)

// User is who a key acts for. It is never changed: a later line about the same
// name makes another User and marks this one as superseded.
type User struct {
	Name     string
	Paths    authz.PathSet
	Scopes   authz.Scopes
	Disabled bool
	Password authz.Secret // the hash, in the form it has in the file; empty: none

	superseded atomic.Bool
}

// Superseded tells whether the file says something else of this user now, or
// nothing. It is one atomic load.
func (u *User) Superseded() bool { return u.superseded.Load() }

// Users holds the users of one file for a server; [Follow] keeps it up to date.
type Users struct {
	seed   maphash.Seed // of Decoy, so that nobody outside knows who gets which
	set    atomic.Pointer[userSet]
	reason atomic.Pointer[error]
}

// NewUsers makes a Users that knows nobody and is not ready.
func NewUsers() *Users { return &Users{seed: maphash.MakeSeed()} }

// Lookup finds a user, disabled ones too. Before Ready there are none.
func (u *Users) Lookup(name string) (*User, bool) {
	set := u.set.Load()
	if set == nil {
		return nil, false
	}
	return set.lookup(name)
}

// Ready is nil once users are loaded, and for good; before that it says why not.
func (u *Users) Ready() error {
	if u.set.Load() != nil {
		return nil
	}
	if reason := u.reason.Load(); reason != nil {
		return fmt.Errorf("users: %w: %w", ErrNotLoaded, *reason)
	}
	return fmt.Errorf("users: %w", ErrNotLoaded)
}

func (u *Users) check(first []byte) error { return usersHeader().check(first) }

// Decoy returns a stored hash to verify the password of an unknown user
// against, so that it takes as long as that of a known one, whatever
// kinds of hashes and costs the file has: the same name always gets the same one
// while the file does not change. It is empty where no user has a password.
func (u *Users) Decoy(name string) authz.Secret {
	set := u.set.Load()
	if set == nil {
		return authz.Secret{}
	}
	set.mu.RLock()
	defer set.mu.RUnlock()
	if len(set.decoys) == 0 {
		return authz.Secret{}
	}
	return set.decoys[maphash.String(u.seed, name)%uint64(len(set.decoys))]
}

func (u *Users) begin() content { return &userSet{byName: map[string]*User{}} }

// publish lets the new ones be found before the old ones say that they are old.
func (u *Users) publish(c content) {
	if old := u.set.Swap(c.(*userSet)); old != nil {
		old.supersede()
	}
}

func (u *Users) applied() {}

func (u *Users) notReady(reason error) { u.reason.Store(&reason) }

// userSet is what one reading of a users file came to.
type userSet struct {
	mu     sync.RWMutex
	byName map[string]*User
	line   userLine

	decoys []authz.Secret // hashes of the users that the latest lines are about
	oldest int            // of the decoys, once there are enough
}

// maxDecoys are enough to be like all of them.
const maxDecoys = 64

// addDecoy is called with the lock held.
func (s *userSet) addDecoy(hash authz.Secret) {
	switch {
	case hash.Empty():
	case len(s.decoys) < maxDecoys:
		s.decoys = append(s.decoys, hash)
	default:
		s.decoys[s.oldest] = hash
		s.oldest = (s.oldest + 1) % maxDecoys
	}
}

func (s *userSet) lookup(name string) (*User, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	user, found := s.byName[name]
	return user, found
}

func (s *userSet) supersede() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, user := range s.byName {
		user.superseded.Store(true)
	}
}
