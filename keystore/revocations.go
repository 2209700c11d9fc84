package keystore

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"keyward/store/journal"
)

// Revocations are the tokens of one file that end before their time;
// [journal.Follow] keeps them up to date. An entry has no end of its own: it counts for as long
// as it stands in the file. An id is an id of whatever issuer.
//
// The file is made by the first revocation, so who follows it wants
// journal.FollowConfig.MissingOK, and a Settle of some 10 ms if that first one, too, is
// to be in force within 50 ms.
type Revocations struct {
	set     atomic.Pointer[revocationSet]
	changes atomic.Uint64
	reason  atomic.Pointer[error]
}

// NewRevocations makes Revocations that are not ready, and until then hold
// every token for revoked.
func NewRevocations() *Revocations { return &Revocations{} }

// Ready is nil once revocations are loaded, and for good; before that it says why not.
func (v *Revocations) Ready() error {
	if v.set.Load() != nil {
		return nil
	}
	if reason := v.reason.Load(); reason != nil {
		return fmt.Errorf("revocations: %w: %w", ErrNotLoaded, *reason)
	}
	return fmt.Errorf("revocations: %w", ErrNotLoaded)
}

// Revoked tells whether a token is named: by its id, or by having been issued
// before the time given for its subject or for all. No id and no subject ("")
// are never named. A zero issuedAt counts as issued before any time. How an
// accent is encoded, in the token or in the line, makes no difference.
func (v *Revocations) Revoked(jti, subject string, issuedAt time.Time) bool {
	set := v.set.Load()
	return set == nil || set.names(jti, subject, issuedAt)
}

// Changes is another number after each change. Who keeps an answer of Revoked
// keeps the number that it had before asking, and asks again when that is no
// longer the same. It is one atomic load.
func (v *Revocations) Changes() uint64 { return v.changes.Load() }

// CheckHeader implements journal.Sink.
func (v *Revocations) CheckHeader(first []byte) error { return revocationsHeader().check(first) }

// Begin implements journal.Sink.
func (v *Revocations) Begin() journal.Generation {
	return &revocationSet{tokens: map[string]struct{}{}, subjects: map[string]time.Time{}}
}

// Commit counts the change when what is new can be found, as Applied does:
// the other way round an old answer could be kept under the new number.
func (v *Revocations) Commit(c journal.Generation) {
	v.set.Store(c.(*revocationSet))
	v.changes.Add(1)
}

// Applied implements journal.Sink.
func (v *Revocations) Applied() { v.changes.Add(1) }

// NotReady implements journal.Sink.
func (v *Revocations) NotReady(reason error) { v.reason.Store(&reason) }

// revocationSet is what one reading of a revocations file came to.
type revocationSet struct {
	mu       sync.RWMutex
	tokens   map[string]struct{}  // by sameText
	subjects map[string]time.Time // issued before; by sameText
	all      time.Time            // issued before; zero: nobody said so
}

func (s *revocationSet) names(jti, subject string, issuedAt time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, named := s.tokens[sameText(jti)]
	// A zero issuedAt is before any time; nothing is before the zero time of
	// what nobody has named.
	return named || issuedAt.Before(s.subjects[sameText(subject)]) || issuedAt.Before(s.all)
}

// Apply puts a line in force. What it names is ended with it, unless that was so already.
func (s *revocationSet) Apply(line []byte) (time.Time, error) {
	var r Revocation
	if err := r.read(line); err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.add(&r) {
		return time.Time{}, nil
	}
	return r.At, nil
}

// add tells whether the revocation says anything new. The latest time wins: no
// line takes back what another ended.
func (s *revocationSet) add(r *Revocation) bool {
	if r.TokenID != "" {
		jti := sameText(r.TokenID)
		_, known := s.tokens[jti]
		s.tokens[jti] = struct{}{}
		return !known
	}
	if r.Subject != "" {
		subject := sameText(r.Subject)
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
