package keyindex

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"keyward/store"
)

// Revocations are the tokens that end before their time; a [store.Feed] keeps them up
// to date. A revocation counts for as long as the store has it, or until it ends: see
// [store.Revocation.Ends]. An id is an id of any issuer.
type Revocations struct {
	now     func() time.Time
	set     atomic.Pointer[revocationSet]
	changes atomic.Uint64
	reason  atomic.Pointer[error]
}

// NewRevocations makes Revocations that are not ready, and until then report
// that every token is revoked.
func NewRevocations() *Revocations {
	start := time.Now()
	return &Revocations{now: notAhead(time.Now, start, func() time.Duration { return time.Since(start) })}
}

// notAhead returns the clock, or what it would be had it only run since the start, if that is
// earlier: a clock that jumps forward and back again must not leave out a revocation whose
// tokens are valid again then. If it stays ahead, revocations are kept for longer than needed.
func notAhead(clock func() time.Time, start time.Time, elapsed func() time.Duration) func() time.Time {
	start = start.Round(0) // without its monotonic reading, by which Before would ignore a jump
	return func() time.Time {
		now, running := clock().Round(0), start.Add(elapsed())
		if running.Before(now) {
			return running
		}
		return now
	}
}

// UseClock has it take the time from now, to leave out revocations that have ended. It
// is called before a feed follows.
func (v *Revocations) UseClock(now func() time.Time) { v.now = now }

// Token is what a token may be revoked by; "" is a claim that it does not have.
type Token struct {
	ID        string    // jti
	SessionID string    // sid
	Subject   string    // its user, or else its client
	IssuedAt  time.Time // zero: before any time
}

// Ready returns nil once revocations are loaded, and before that, why not. It returns
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

// Revoked reports whether a token is named: by its id, by its session, or by having
// been issued before the time given for its subject or for all. What a token does not
// have is never named. How an accent is encoded, in the token or in the record, makes
// no difference.
func (v *Revocations) Revoked(t Token) bool {
	set := v.set.Load()
	return set == nil || set.unsupported.Load() || set.names(&t)
}

// Changes returns a number that differs after each change. A caller that caches the
// result of Revoked caches the number with it, read before, and calls Revoked again when
// the number is no longer the same. It costs one atomic load.
func (v *Revocations) Changes() uint64 { return v.changes.Load() }

// Begin implements store.Sink.
func (v *Revocations) Begin() store.Generation[store.Revocation] {
	return &revocationSet{now: v.now, tokens: cutoffs{}, sessions: cutoffs{}, subjects: cutoffs{}}
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
	now func() time.Time

	mu       sync.RWMutex
	tokens   cutoffs // those of tokens and sessions are always
	sessions cutoffs
	subjects cutoffs
	all      cutoff

	unsupported atomic.Bool // there is a revocation that may be of any token
}

func (s *revocationSet) names(t *Token) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tokens.has(t.ID) || s.sessions.has(t.SessionID) || s.subjects[sameText(t.Subject)].names(t) || s.all.names(t)
}

// Apply puts a record in force, unless it has ended. What it names is ended with it,
// unless that was so already.
func (s *revocationSet) Apply(r *store.Revocation) (time.Time, error) {
	now := s.now()
	if r.Over(now) {
		return time.Time{}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	added := false
	if r.Unsupported {
		added = s.addUnsupported(r)
	} else {
		added = s.add(r)
	}
	s.removeEnded(unixMicrosOf(now))
	if !added {
		return time.Time{}, nil
	}
	return r.At, nil
}

// addUnsupported adds what a revocation names that is not supported: a token, a session,
// and a subject, which without a time is revoked at all times. One that names nothing
// may be of any token.
func (s *revocationSet) addUnsupported(r *store.Revocation) bool {
	if r.TokenID == "" && r.SessionID == "" && r.Subject == "" && r.IssuedBefore.IsZero() {
		return !s.unsupported.Swap(true)
	}
	added := r.TokenID != "" && s.add(&store.Revocation{TokenID: r.TokenID})
	added = r.SessionID != "" && s.add(&store.Revocation{SessionID: r.SessionID}) || added
	before := store.Revocation{Subject: r.Subject, IssuedBefore: r.IssuedBefore}
	if before.Subject != "" && before.IssuedBefore.IsZero() {
		before.IssuedBefore = always
	}
	if before.Subject != "" || r.TokenID == "" && r.SessionID == "" {
		added = s.add(&before) || added
	}
	return added
}

// add reports whether the revocation says anything new.
func (s *revocationSet) add(r *store.Revocation) bool {
	c := cutoff{before: r.IssuedBefore, end: unixMicrosOf(r.Ends())}
	switch {
	case r.TokenID != "":
		c.before = always
		return s.tokens.add(r.TokenID, c)
	case r.SessionID != "":
		c.before = always
		return s.sessions.add(r.SessionID, c)
	case r.Subject != "":
		return s.subjects.add(r.Subject, c)
	}
	var added bool
	s.all, added = s.all.with(c)
	return added
}

func (s *revocationSet) removeEnded(at unixMicros) {
	for _, byName := range []cutoffs{s.tokens, s.sessions, s.subjects} {
		byName.removeEnded(at)
	}
	if s.all.ended(at) {
		s.all = cutoff{}
	}
}
