package engine

import (
	"context"
	"sync"
	"time"

	"keyward/admin"
	"keyward/keyindex"
	"keyward/manage"
)

// PasswordHashes implements admin.State.
func (e *Engine) PasswordHashes() int {
	if hashing := e.Current().hashing; hashing != nil {
		return hashing.InFlight()
	}
	return 0
}

// Signatures implements admin.State.
func (e *Engine) Signatures() admin.SignatureState {
	stats := e.env.gate.Stats()
	return admin.SignatureState{InFlight: stats.InFlight, Refused: stats.Refused}
}

// sessionsTime bounds the counting of sessions: a scrape does not wait for the state file.
const sessionsTime = time.Second

// Sessions implements admin.State. Without a console there are none.
func (e *Engine) Sessions() (n int, known bool) {
	db := e.Current().State()
	if db == nil {
		return 0, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), sessionsTime)
	defer cancel()
	n, err := db.Sessions.Count(ctx)
	return n, err == nil
}

// Caches implements admin.State.
func (e *Engine) Caches() []admin.CacheState { return e.Current().cacheStates() }

// Keys implements admin.State.
func (e *Engine) Keys() admin.KeyCounts { return e.keyCounts.of(&e.Current().stores, time.Now()) }

// keyCounter counts the keys, and where there are many at most every ten seconds, since it
// walks them all.
type keyCounter struct {
	mu   sync.Mutex
	at   time.Time
	last admin.KeyCounts
	keys *keyindex.Keys // that were counted
}

// manyKeys take a millisecond to count.
const manyKeys = 100_000

func (k *keyCounter) few() bool { return manage.KeyCounts(k.last).All() < manyKeys }

func (k *keyCounter) of(s *stores, now time.Time) admin.KeyCounts {
	k.mu.Lock()
	defer k.mu.Unlock()
	if keys := s.keys.records; keys != k.keys || now.Sub(k.at) >= 10*time.Second || k.few() {
		k.last, k.at, k.keys = s.counts(now), now, keys
	}
	return k.last
}
