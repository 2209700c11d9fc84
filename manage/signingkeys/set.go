package signingkeys

import (
	"context"
	"crypto"
	"errors"
	"slices"
	"time"
)

var (
	// ErrConflict is a Store with an expected version that is not the stored one:
	// another process has changed the set.
	ErrConflict = errors.New("the signing keys were changed meanwhile")
	// ErrLost is a key that the storage has lost, or that cannot be read. The tokens
	// that it signed are no longer valid.
	ErrLost = errors.New("a signing key is lost, and the tokens that it signed have ended")
	// ErrWentBack is a storage with an earlier version than one that was read before.
	// The keys that this process has were written to it again.
	ErrWentBack = errors.New("the storage of signing keys went back to an earlier version")
	// ErrDamaged is a storage that has keys, but cannot say what they were for. They
	// are published and do not sign.
	ErrDamaged = errors.New("what is on record about the signing keys is damaged")
	// ErrNotPrivate is a file or a directory of keys that other users may access.
	ErrNotPrivate = errors.New("other users may access it")
	// ErrOtherOwner is a directory of keys that belongs to another user.
	ErrOtherOwner = errors.New("it belongs to another user, who could not read a new key in it")
	// ErrNoKey is a set without a key that may sign now.
	ErrNoKey = errors.New("no key may sign tokens now")
	// ErrStale is a set that was read too long ago: another key may sign by now.
	ErrStale = errors.New("the signing keys were read too long ago")
	// ErrTooManyKeys is a rotation that must wait until earlier keys are removed.
	ErrTooManyKeys = errors.New("too many signing keys are still needed")
)

// State is what a key is for.
type State string

// The states of a key, in the order in which it has them.
const (
	Next     State = "next"     // published, and does not sign yet
	Signing  State = "signing"  // published and signs
	Retiring State = "retiring" // published until its last token has expired
)

// Record is what is on record about a key, without the key. Its JSON is what storages
// keep.
type Record struct {
	ID        string    `json:"id"` // the thumbprint of the public key (RFC 7638)
	Algorithm Algorithm `json:"algorithm"`
	State     State     `json:"state"`
	Created   time.Time `json:"created"` // zero: not known
	Since     time.Time `json:"since"`   // when it got its State, by the clock of that process
	// Elapsed is the least time that has passed since it got its State.
	Elapsed time.Duration `json:"elapsed_ns"`
	// TokenTTL is for how long a token that it signed may be valid.
	TokenTTL time.Duration `json:"token_ttl_ns"`
}

// Key is a key of a set.
type Key struct {
	Record
	// Private is the key; nil if it is lost. It is an *ecdsa.PrivateKey, an
	// *rsa.PrivateKey or an ed25519.PrivateKey, as the Algorithm has it.
	Private crypto.Signer
	Lost    error // why Private is nil
}

// Set is one version of all keys.
type Set struct {
	Version int64 // grows with each Store; zero: nothing was stored yet
	Keys    []Key
	// Damaged is set by Load if the records are lost, and the keys are not: those are
	// Retiring then.
	Damaged error
}

// Storage has one version of the set, which processes share.
type Storage interface {
	// Load returns the stored set; one without keys and version zero if there is none.
	// A key that is missing or cannot be read is in it with the reason. An error is
	// about the entire set, such as a database that does not answer.
	Load(ctx context.Context) (Set, error)
	// Store replaces the set of the expected version in one step: what is stored is
	// the one or the other, also after a crash. Keys whose Private is nil keep what is
	// stored of them. If the stored version is another one, it is ErrConflict. After
	// any other error the set may have been replaced.
	Store(ctx context.Context, expected int64, set Set) error
}

// find returns the first key in the state that is not lost; nil if there is none.
func (s *Set) find(state State) *Key {
	for i := range s.Keys {
		if s.Keys[i].State == state && s.Keys[i].Private != nil {
			return &s.Keys[i]
		}
	}
	return nil
}

// byID returns the key; nil if there is none.
func (s *Set) byID(id string) *Key {
	if i := slices.IndexFunc(s.Keys, func(k Key) bool { return k.ID == id }); i >= 0 {
		return &s.Keys[i]
	}
	return nil
}

func (s *Set) clone() Set {
	c := *s
	c.Keys = slices.Clone(s.Keys)
	return c
}

// enter gives the key another state.
func (k *Key) enter(state State, now time.Time) {
	k.State, k.Since, k.Elapsed = state, now, 0
}
