package engine

import (
	"sync"
	"time"

	"keyward/admin"
	"keyward/keyindex"
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

// Caches implements admin.State.
func (e *Engine) Caches() []admin.CacheState { return e.Current().cacheStates() }

// Keys implements admin.State.
func (e *Engine) Keys() admin.KeyCounts { return e.keyCounts.of(&e.Current().stores, time.Now()) }

// keyCounter counts the keys at most every ten seconds, since it walks them all.
type keyCounter struct {
	mu   sync.Mutex
	at   time.Time
	last admin.KeyCounts
	keys *keyindex.Keys // that were counted
}

func (k *keyCounter) of(s *stores, now time.Time) admin.KeyCounts {
	k.mu.Lock()
	defer k.mu.Unlock()
	if keys := s.keys.records; keys != k.keys || now.Sub(k.at) >= 10*time.Second {
		k.last, k.at, k.keys = s.counts(now), now, keys
	}
	return k.last
}
