package keyindex

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keyward/store"

	"golang.org/x/text/unicode/norm"
)

// Revocations are the tokens that end before their time; a [store.Feed] keeps them up
// to date. A revocation has no end of its own: it counts for as long as the store
// has it. An id is an id of any issuer.
type Revocations struct {
	set     atomic.Pointer[revocationSet]
	changes atomic.Uint64
	reason  atomic.Pointer[error]
}

// NewRevocations makes Revocations that are not ready, and until then report
// that every token is revoked.
func NewRevocations() *Revocations { return &Revocations{} }

// Ready is nil once revocations are loaded, and before that says why not. It is
// [store.ErrUnsupported] while there is a revocation of which this version does not
// know what it revokes.
func (v *Revocations) Ready() error {
	if set := v.set.Load(); set != nil {
		if set.unsupported.Load() {
			return fmt.Errorf("revocations: %w", store.ErrUnsupported)
		}
		return nil
	}
	if reason := v.reason.Load(); reason != nil {
		return fmt.Errorf("revocations: %w: %w", ErrNotLoaded, *reason)
	}
	return fmt.Errorf("revocations: %w", ErrNotLoaded)
}

// Revoked reports whether a token is named: by its id, or by having been issued
// before the time given for its subject or for all. No id and no subject ("")
// are never named. A zero issuedAt counts as issued before any time. How an
// accent is encoded, in the token or in the record, makes no difference.
func (v *Revocations) Revoked(jti, subject string, issuedAt time.Time) bool {
	set := v.set.Load()
	return set == nil || set.unsupported.Load() || set.names(jti, subject, issuedAt)
}

// Changes is another number after each change. A caller that keeps an answer of
// Revoked keeps the number that it read before asking, and asks again when the
// number is no longer the same. It is one atomic load.
func (v *Revocations) Changes() uint64 { return v.changes.Load() }

// Begin implements store.Sink.
func (v *Revocations) Begin() store.Generation[store.Revocation] {
	return &revocationSet{tokens: map[string]struct{}{}, subjects: map[string]time.Time{}}
}

// Commit counts the change when what is new can be found, as Applied does:
// the other way round an old answer could be kept under the new number.
func (v *Revocations) Commit(next store.Generation[store.Revocation]) {
	v.set.Store(next.(*revocationSet))
	v.changes.Add(1)
}

// Applied implements store.Sink.
func (v *Revocations) Applied() { v.changes.Add(1) }

// Fault implements store.Sink.
func (v *Revocations) Fault(reason error) { v.reason.Store(&reason) }

// revocationSet is what the revocations of a store came to when all of them were
// read.
type revocationSet struct {
	mu       sync.RWMutex
	tokens   map[string]struct{}  // by sameText
	subjects map[string]time.Time // issued before; by sameText
	all      time.Time            // issued before; zero: of no token

	unsupported atomic.Bool // there is a revocation that may be of any token
}

func (s *revocationSet) names(jti, subject string, issuedAt time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, named := s.tokens[sameText(jti)]
	// A zero issuedAt is before any time; nothing is before the zero time of
	// what is not named.
	return named || issuedAt.Before(s.subjects[sameText(subject)]) || issuedAt.Before(s.all)
}

// Apply puts a record in force. What it names is ended with it, unless that was
// so already.
func (s *revocationSet) Apply(r *store.Revocation) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := false
	if r.Unsupported {
		added = s.addUnsupported(r)
	} else {
		added = s.add(r)
	}
	if !added {
		return time.Time{}, nil
	}
	return r.At, nil
}

// addUnsupported adds what a revocation names that is not supported: a token, and a
// subject, which without a time is revoked at all times. One that names nothing may
// be of any token.
func (s *revocationSet) addUnsupported(r *store.Revocation) bool {
	if r.TokenID == "" && r.Subject == "" && r.IssuedBefore.IsZero() {
		return !s.unsupported.Swap(true)
	}
	added := r.TokenID != "" && s.add(&store.Revocation{TokenID: r.TokenID})
	before := store.Revocation{Subject: r.Subject, IssuedBefore: r.IssuedBefore}
	if before.Subject != "" && before.IssuedBefore.IsZero() {
		before.IssuedBefore = always
	}
	if before.Subject != "" || r.TokenID == "" {
		added = s.add(&before) || added
	}
	return added
}

// always is after any time at which a token is issued.
var always = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// add reports whether the revocation says anything new. The latest time wins: no
// record takes back what another ended.
func (s *revocationSet) add(r *store.Revocation) bool {
	if r.TokenID != "" {
		jti := strings.Clone(sameText(r.TokenID))
		_, known := s.tokens[jti]
		s.tokens[jti] = struct{}{}
		return !known
	}
	if r.Subject != "" {
		subject := strings.Clone(sameText(r.Subject))
		if !r.IssuedBefore.After(s.subjects[subject]) {
			return false
		}
		s.subjects[subject] = r.IssuedBefore
		return true
	}
	if !r.IssuedBefore.After(s.all) {
		return false
	}
	s.all = r.IssuedBefore
	return true
}

// sameText is one form for all texts that differ only in how their accents are
// encoded, which is not visible and, on many keyboards, is not the user's choice.
func sameText(text string) string { return norm.NFC.String(text) }
