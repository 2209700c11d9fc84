// Package cachebench compares Keyward's cache with otter (W-TinyLFU) while
// credentials flood in beside a set of hot ones. It is a separate module, so
// that Keyward does not depend on otter.
//
//	cd bench/cachebench && go test -bench .
package cachebench

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"keyward/cache"

	"github.com/maypok86/otter/v2"
)

const (
	size    = 100_000 // entries, as is the default of cache.size
	ttl     = 5 * time.Minute
	hotKeys = 10_000
	flood   = 9                     // requests of the flood for each one with a hot credential
	step    = 10 * time.Microsecond // between two requests
	warmUp  = 1_000_000             // requests before the measurement
)

// clock is the time of the simulated requests, in nanoseconds.
type clock struct{ atomic.Int64 }

// NowNano implements otter.Clock.
func (c *clock) NowNano() int64 { return c.Load() }

// Tick implements otter.Clock: there are no periodic clean-ups.
func (c *clock) Tick(time.Duration) <-chan time.Time { return nil }

// contender is a cache as a verifier uses it.
type contender interface {
	// get reports whether the key is cached.
	get(key *cache.Key) bool
	// offer stores the value of a valid credential that was not cached.
	offer(key *cache.Key)
}

// principal stands for what is cached.
var principal = new(int)

// keyCache is used as for API keys, whose values are cheap to make: the
// doorkeeper decides what is stored.
type keyCache struct {
	*cache.Cache[*int]
	clock *clock
}

func (c *keyCache) now() time.Time { return time.Unix(0, c.clock.NowNano()) }

func (c *keyCache) get(key *cache.Key) bool {
	_, ok := c.Get(key, c.now())
	return ok
}

func (c *keyCache) offer(key *cache.Key) {
	if c.ShouldAdmit(key) {
		c.Put(key, principal, c.now())
	}
}

// tokenCache is used as for tokens, whose values are costly to make: all are
// stored.
type tokenCache struct{ keyCache }

func (c *tokenCache) offer(key *cache.Key) { c.Put(key, principal, c.now()) }

type otterCache struct {
	*otter.Cache[cache.Key, *int]
}

func (c *otterCache) get(key *cache.Key) bool {
	_, ok := c.GetIfPresent(*key)
	return ok
}

func (c *otterCache) offer(key *cache.Key) { c.Set(*key, principal) }

var contenders = []struct {
	name string
	make func(b *testing.B, clock *clock) contender
}{
	{"keys", func(b *testing.B, clock *clock) contender { return &keyCache{newCache(b), clock} }},
	{"tokens", func(b *testing.B, clock *clock) contender { return &tokenCache{keyCache{newCache(b), clock}} }},
	{"otter", func(b *testing.B, clock *clock) contender {
		c, err := otter.New(&otter.Options[cache.Key, *int]{MaximumSize: size, ExpiryCalculator: otter.ExpiryWriting[cache.Key, *int](ttl), Clock: clock})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.StopAllGoroutines() })
		return &otterCache{c}
	}},
}

func newCache(b *testing.B) *cache.Cache[*int] {
	b.Helper()
	c, err := cache.New[*int](size, ttl)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// floods are what attackers present. Only valid credentials are stored.
var floods = []struct {
	name  string
	valid bool
	times uint64 // that each credential is presented, in succession
}{
	{"unknown", false, 1},
	{"once", true, 1},
	{"twice", true, 2},
}

// requests makes the requests of the hot set and of a flood.
type requests struct {
	cache         contender
	clock         *clock
	random        *rand.Rand
	valid         bool
	times         uint64
	n, hot, found int
	key           cache.Key
}

// fill makes the cache full: the hot credentials come first.
func (r *requests) fill() {
	for n := range uint64(size) {
		digest(&r.key, n)
		r.cache.offer(&r.key)
	}
}

// next makes one request.
func (r *requests) next() {
	r.n++
	r.clock.Add(int64(step))
	if r.n%(flood+1) == 0 {
		digest(&r.key, uint64(r.random.IntN(hotKeys)))
		r.hot++
		if r.cache.get(&r.key) {
			r.found++
		} else {
			r.cache.offer(&r.key)
		}
		return
	}
	digest(&r.key, size+uint64(r.n)/r.times)
	if !r.cache.get(&r.key) && r.valid {
		r.cache.offer(&r.key)
	}
}

// digest sets a uniformly distributed key (SplitMix64).
func digest(key *cache.Key, n uint64) {
	for i := 0; i < len(key); i += 8 {
		n += 0x9e3779b97f4a7c15
		z := (n ^ n>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(key[i:], z^z>>31)
	}
}

// BenchmarkFlood measures one request, and how many of the hot credentials are
// found in the cache.
func BenchmarkFlood(b *testing.B) {
	for _, f := range floods {
		for _, c := range contenders {
			b.Run(f.name+"/"+c.name, func(b *testing.B) {
				now := &clock{}
				now.Store(time.Now().UnixNano())
				r := &requests{cache: c.make(b, now), clock: now, random: rand.New(rand.NewPCG(1, 2)), valid: f.valid, times: f.times}
				r.fill()
				for range warmUp {
					r.next()
				}
				r.hot, r.found = 0, 0
				b.ReportAllocs()
				for b.Loop() {
					r.next()
				}
				b.ReportMetric(100*float64(r.found)/float64(max(r.hot, 1)), "%-hot-found")
			})
		}
	}
}
