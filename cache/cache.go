// Package cache remembers what was verified a moment ago: a sharded, bounded
// LRU with expiry; the order of use is kept to within a second. It holds values under digests and never a credential, and
// it decides nothing: whoever takes a value out of it must ask whether it still holds.
package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Key is a keyed hash of what the value was made from. Its bytes are taken to be evenly spread.
type Key = [32]byte

const shardCount = 64

// Cache is safe for use by many goroutines. Shards keep them out of each other's way.
type Cache[V any] struct {
	ttl             time.Duration
	createdAt       time.Time // see at
	promoteInterval int64     // nanoseconds, see promoteFraction
	perShard        int       // entries
	shards          [shardCount]shard[V]

	doorkeeper *Doorkeeper // of keys that were not admitted
}

type shard[V any] struct {
	mu           sync.Mutex
	lru          *simplelru.LRU[Key, entry[V]]
	filter       countingFilter // of lru
	size         atomic.Int32   // entries of lru
	inFlight     map[Key]*flight[V]
	hits, misses uint64
}

type entry[V any] struct {
	value               V
	expires, promotedAt int64 // nanoseconds, see at; promotedAt is when it last came to the front
}

// at is the time in nanoseconds since the cache was made. Between the times of
// a running clock that is monotonic, so a wall clock that is set changes nothing.
func (c *Cache[V]) at(now time.Time) int64 { return int64(now.Sub(c.createdAt)) }

// isValid reports whether the entry is good at that time. One that expires later
// than any entry can is from before a clock without a monotonic reading went
// back. It may be a ttl too far ahead, since requests put what they were told a moment ago.
func (c *Cache[V]) isValid(e *entry[V], at int64) bool {
	left := e.expires - at
	return left > 0 && left-int64(c.ttl) <= int64(c.ttl)
}

// An entry that is hit moves to the front of the order of use once in
// promoteInterval: a second, or this part of the ttl where that is less. A move at
// each hit would wait for its neighbours, which are seldom in the processor's cache.
const promoteFraction = 16

// flight is one computation that others may wait for.
type flight[V any] struct {
	done  chan struct{} // closed at the end; made by the first who waits, under the shard's lock
	value V
	err   error
}

// Stats counts since the start; Entries is now.
type Stats struct {
	Hits, Misses uint64
	Entries      int
}

// New returns a cache of about size entries, each good for ttl. Both must be positive.
func New[V any](size int, ttl time.Duration) (*Cache[V], error) {
	if size <= 0 || ttl <= 0 {
		return nil, fmt.Errorf("cache: size %d and ttl %s must be positive", size, ttl)
	}
	c := &Cache[V]{ttl: ttl, createdAt: time.Now(), promoteInterval: int64(min(time.Second, ttl/promoteFraction)), perShard: (size + shardCount - 1) / shardCount, doorkeeper: NewDoorkeeper(size)}
	for i := range c.shards {
		s := &c.shards[i]
		lru, err := simplelru.NewLRU(c.perShard, func(key Key, _ entry[V]) { s.filter.remove(&key) })
		if err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
		s.lru, s.filter, s.inFlight = lru, newCountingFilter(c.perShard), map[Key]*flight[V]{}
	}
	return c, nil
}

func (c *Cache[V]) shard(key *Key) *shard[V] { return &c.shards[key[31]%shardCount] }

// Get returns the value that was put under the key less than ttl ago, and
// drops an older one.
func (c *Cache[V]) Get(key *Key, now time.Time) (V, bool) {
	s, at := c.shard(key), c.at(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filter.mightContain(key) {
		switch e, ok := s.lru.Peek(*key); {
		case ok && c.isValid(&e, at):
			s.hits++
			if at-e.promotedAt >= c.promoteInterval {
				e.promotedAt = at
				s.put(key, e)
			}
			return e.value, true
		case ok:
			s.lru.Remove(*key)
			s.size.Store(int32(s.lru.Len()))
		}
	}
	s.misses++
	var none V
	return none, false
}

// Put remembers the value, in place of an older one.
func (c *Cache[V]) Put(key *Key, value V, now time.Time) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(key, c.entry(value, now))
}

func (c *Cache[V]) entry(value V, now time.Time) entry[V] {
	at := c.at(now)
	return entry[V]{value, at + int64(c.ttl), at}
}

func (s *shard[V]) put(key *Key, e entry[V]) {
	before := s.lru.Len()
	if evicted := s.lru.Add(*key, e); evicted || s.lru.Len() > before {
		s.filter.add(key)
		s.size.Store(int32(s.lru.Len()))
	}
}

// errAborted is what those who waited get when the computation panicked.
var errAborted = errors.New("cache: computation aborted")

// Compute makes the value anew, whatever is cached, and remembers it unless
// there is an error. Who asks for the same key at the same time waits for the
// one computation, at most as long as ctx lasts, and shares its outcome. The
// computation runs on the caller's goroutine.
func (c *Cache[V]) Compute(ctx context.Context, key *Key, now time.Time, compute func() (V, error)) (V, error) {
	s := c.shard(key)
	s.mu.Lock()
	if other := s.inFlight[*key]; other != nil {
		if other.done == nil {
			other.done = make(chan struct{})
		}
		s.mu.Unlock()
		return other.wait(ctx)
	}
	own := &flight[V]{err: errAborted}
	s.inFlight[*key] = own
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.inFlight, *key)
		if own.err == nil {
			s.put(key, c.entry(own.value, now))
		}
		if own.done != nil {
			close(own.done)
		}
		s.mu.Unlock()
	}()
	own.value, own.err = compute()
	return own.value, own.err
}

func (f *flight[V]) wait(ctx context.Context) (V, error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// Stats adds up all shards.
func (c *Cache[V]) Stats() Stats {
	var sum Stats
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		sum.Hits += s.hits
		sum.Misses += s.misses
		sum.Entries += s.lru.Len()
		s.mu.Unlock()
	}
	return sum
}
