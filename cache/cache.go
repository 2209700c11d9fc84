// Package cache remembers what was verified recently. It is a sharded, bounded
// LRU with expiry; the order of use is accurate to within a second. It stores
// values under digests and never a credential. It decides nothing: a caller
// must check that a cached value still applies.
//
// bench/cachebench compares it with otter v2.4 (W-TinyLFU). Nine of ten requests
// are a flood of other credentials, and one has one of 10,000 hot ones; the
// cache is full, with 100,000 entries, and a second has 100,000 requests. The
// figures are medians of three rounds of one run, on one core that other
// programs shared:
//
//	flood                           hot ones found        ns per request
//	unknown credentials             100 %, otter 100 %      50, otter   60
//	valid, each once, ShouldAdmit   100 %, otter  99.9 %    60, otter 1090
//	valid, each once, all stored     53 %, otter  99.9 %  1140, otter 1090
//	valid, each twice, ShouldAdmit   73 %, otter  99.3 %   400, otter  440
//	valid, each twice, all stored    78 %, otter  99.3 %   460, otter  440
//
// A principal is stored only for a valid credential, so a flood of unknown ones
// evicts none. A flood of more valid ones than there are entries evicts up to half
// of the hot ones, which are then verified again; otter keeps those.
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

// Key is a keyed hash of the input that the value was made from. Its bytes must
// be uniformly distributed.
type Key = [32]byte

const shardCount = 64

// Cache is safe for concurrent use. Its shards reduce lock contention.
type Cache[V any] struct {
	ttl             time.Duration
	createdAt       time.Time // see at
	promoteInterval int64     // nanoseconds, see promoteFraction
	perShard        int       // entries
	shards          [shardCount]shard[V]

	doorkeeper *Doorkeeper // of keys that ShouldAdmit rejected
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
	expires, promotedAt int64 // nanoseconds, see at; promotedAt is when the entry last moved to the front
}

// at returns the time in nanoseconds since the cache was made. For readings of
// a running clock that difference is monotonic, so setting the wall clock
// changes nothing.
func (c *Cache[V]) at(now time.Time) int64 { return int64(now.Sub(c.createdAt)) }

// isValid reports whether the entry is valid at that time. An entry that
// expires later than any entry can was stored before a clock without a
// monotonic reading went back. An entry may be one ttl too far ahead, since a
// request stores it with the time at which it began.
func (c *Cache[V]) isValid(e *entry[V], at int64) bool {
	left := e.expires - at
	return left > 0 && left-int64(c.ttl) <= int64(c.ttl)
}

// promoteFraction sets how often an entry that is hit moves to the front of the
// order of use: once per promoteInterval, which is a second, or this fraction
// of the ttl if that is less. A move on each hit would wait for the
// neighbouring entries, which are seldom in the processor's cache.
const promoteFraction = 16

// flight is one computation that other callers may wait for.
type flight[V any] struct {
	done  chan struct{} // closed at the end; the first waiting caller makes it, under the shard's lock
	value V
	err   error
}

// Stats holds counts since the start, and the current number of entries.
type Stats struct {
	Hits, Misses uint64
	Entries      int
}

// New returns a cache of about size entries, each valid for ttl. Both must be
// positive.
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

// Get returns the value that was stored under the key less than ttl ago. It
// drops an older value.
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

// Put stores the value and replaces an older one.
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

// errAborted is the error of the waiting callers if the computation panicked.
var errAborted = errors.New("cache: computation aborted")

// Compute computes the value, whether or not one is cached, and stores it
// unless there is an error. A concurrent caller with the same key waits for
// that computation, until ctx ends at the latest, and shares its outcome. The
// computation runs on the first caller's goroutine.
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

// Stats returns the sum of all shards.
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
