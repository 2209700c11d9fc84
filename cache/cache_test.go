package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func key(n int) *Key {
	var k Key
	binary.BigEndian.PutUint64(k[24:], uint64(n))
	return &k
}

func newCache(t testing.TB, size int, ttl time.Duration) *Cache[int] {
	t.Helper()
	c, err := New[int](size, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExpiry(t *testing.T) {
	c := newCache(t, 100, time.Minute)
	start := time.Unix(1000, 0)
	c.Put(key(1), 7, start)
	if v, ok := c.Get(key(1), start.Add(time.Minute-1)); !ok || v != 7 {
		t.Errorf("just before it expires: %d, %v", v, ok)
	}
	if _, ok := c.Get(key(1), start.Add(time.Minute)); ok {
		t.Error("it is still cached when it expires")
	}
}

// TestClockGoesBack: an entry is kept for at most twice its ttl, and for at
// most as much longer than its ttl as the clock went back.
func TestClockGoesBack(t *testing.T) {
	const ttl = 10 * time.Second
	start := time.Unix(1_800_000_000, 0)
	for _, step := range []time.Duration{0, time.Second, ttl, time.Minute, 5 * time.Hour, 48 * time.Hour} {
		c := newCache(t, 100, ttl)
		c.Put(key(1), 7, start)
		held := time.Duration(0)
		for now := start.Add(-step); held < 100*time.Hour; held += time.Second {
			if _, ok := c.Get(key(1), now.Add(held)); !ok {
				break
			}
		}
		if held > min(step+ttl, 2*ttl) {
			t.Errorf("back by %s: kept for %s", step, held)
		}
		c.Put(key(1), 8, start.Add(-step))
		if v, ok := c.Get(key(1), start.Add(ttl-step-1)); !ok || v != 8 {
			t.Errorf("back by %s: a value stored then is not kept", step)
		}
	}
}

func TestBounded(t *testing.T) {
	c := newCache(t, 1000, time.Minute)
	now := time.Now()
	for i := range 100_000 {
		c.Put(key(i), i, now)
	}
	if n := c.Stats().Entries; n > 1000+shardCount {
		t.Errorf("%d entries, want about 1000", n)
	}
	if v, ok := c.Get(key(99_999), now); !ok || v != 99_999 {
		t.Error("the value stored last is missing")
	}
	if s := c.Stats(); s.Hits != 1 || s.Misses != 0 {
		t.Errorf("stats %+v", s)
	}
	for _, bad := range []struct {
		size int
		ttl  time.Duration
	}{{0, 1}, {1, 0}, {-1, 1}} {
		if _, err := New[int](bad.size, bad.ttl); err == nil {
			t.Errorf("no error for %+v", bad)
		}
	}
}

func TestConcurrentCallersShareOneComputation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, 100, time.Minute)
		var computed atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				v, err := c.Compute(t.Context(), key(1), time.Now(), func() (int, error) {
					computed.Add(1)
					time.Sleep(time.Second)
					return 42, nil
				})
				if v != 42 || err != nil {
					t.Errorf("%d, %v", v, err)
				}
			})
		}
		wg.Wait()
		if n := computed.Load(); n != 1 {
			t.Errorf("computed %d times", n)
		}
		if v, ok := c.Get(key(1), time.Now()); !ok || v != 42 {
			t.Error("the value was not stored")
		}
	})
}

func TestErrorsAreNotCached(t *testing.T) {
	c := newCache(t, 100, time.Minute)
	boom := errors.New("boom")
	if _, err := c.Compute(context.Background(), key(1), time.Now(), func() (int, error) { return 1, boom }); err != boom {
		t.Errorf("error %v", err)
	}
	if _, ok := c.Get(key(1), time.Now()); ok {
		t.Error("an error's value was cached")
	}
	if len(c.shard(key(1)).inFlight) != 0 {
		t.Error("still in flight")
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, 100, time.Minute)
		release := make(chan struct{})
		go func() {
			_, _ = c.Compute(t.Context(), key(1), time.Now(), func() (int, error) { <-release; return 1, nil })
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Compute(ctx, key(1), time.Now(), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		close(release)
	})
}

func TestPanicReleasesWaitingCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, 100, time.Minute)
		go func() {
			defer func() { _ = recover() }()
			_, _ = c.Compute(t.Context(), key(1), time.Now(), func() (int, error) { time.Sleep(time.Second); panic("boom") })
		}()
		synctest.Wait()
		if _, err := c.Compute(t.Context(), key(1), time.Now(), nil); !errors.Is(err, errAborted) {
			t.Errorf("error %v, want errAborted", err)
		}
		if _, ok := c.Get(key(1), time.Now()); ok {
			t.Error("a value was cached")
		}
	})
}

func BenchmarkGet(b *testing.B) {
	c := newCache(b, 100_000, time.Minute)
	now := time.Now()
	for i := range 1000 {
		c.Put(key(i), i, now)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			c.Get(key(i%1000), now)
		}
	})
}

// digest returns a uniformly distributed key, as callers use.
func digest(n int) *Key {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return &sum
}

// TestLeastRecentlyUsedGoes: an entry that was used, later than promoteInterval
// after it was stored, outlives an entry that was not used.
func TestLeastRecentlyUsedGoes(t *testing.T) {
	const perShard = 10
	c := newCache(t, perShard*shardCount, time.Minute)
	now := time.Now()
	for i := range perShard {
		c.Put(key(i*shardCount), i, now)
	}
	now = now.Add(time.Second)
	c.Get(key(0), now)
	c.Put(key(perShard*shardCount), perShard, now)
	if _, ok := c.Get(key(0), now); !ok {
		t.Error("the entry that was used was evicted")
	}
	if _, ok := c.Get(key(shardCount), now); ok {
		t.Error("the entry that was not used was kept")
	}
}

// TestShouldAdmit: while there is space all keys are admitted. Then only a key
// is admitted that comes again before many others have come.
func TestShouldAdmit(t *testing.T) {
	const size = 100 * shardCount
	c := newCache(t, size, time.Minute)
	now := time.Now()
	offer := func(key *Key, value int, now time.Time) {
		if c.ShouldAdmit(key) {
			c.Put(key, value, now)
		}
	}
	has := func(key *Key) bool {
		_, ok := c.Get(key, now)
		return ok
	}
	held := func() (n int) {
		for i := range size {
			if has(digest(i)) {
				n++
			}
		}
		return n
	}
	for i := range size {
		offer(digest(i), i, now)
	}
	fit := held()
	if fit < size*9/10 { // not all: the keys are not spread evenly over the shards
		t.Fatalf("%d of %d, although there was space", fit, size)
	}
	for i := range 10 * size {
		offer(digest(size+i), i, now)
	}
	if n := held(); n < fit*98/100 {
		t.Errorf("%d of %d entries are left after many keys that came once", n, fit)
	}
	if offer(digest(-1), 1, now); has(digest(-1)) {
		t.Error("admitted the first time")
	}
	offer(digest(-1), 2, now)
	if v, ok := c.Get(digest(-1), now); !ok || v != 2 {
		t.Error("not admitted the second time")
	}
	if _, ok := c.Get(digest(-1), now.Add(time.Minute)); ok {
		t.Error("still cached after it expired")
	}
	other := *digest(-2)
	other[31] = digest(-1)[31] // of the same shard
	if offer(&other, 3, now); !has(&other) {
		t.Error("not admitted in the place of an expired entry")
	}
}

// TestCountingFilter: a key with an entry is always found, whatever was added
// and removed, and the filter has few false positives.
func TestCountingFilter(t *testing.T) {
	const size = 10 * shardCount
	c := newCache(t, size, time.Minute)
	now := time.Now()
	for i := range 20 * size { // without remove, every counter would have reached its maximum by then
		c.Put(digest(i), i, now)
		if v, ok := c.Get(digest(i), now); !ok || v != i {
			t.Fatalf("%d was stored but is not found", i)
		}
	}
	held, maybe := 0, 0
	for i := range 20 * size {
		key := digest(i)
		s := c.shard(key)
		if !s.lru.Contains(*key) {
			if s.filter.mightContain(key) {
				maybe++
			}
			continue
		}
		if held++; !s.filter.mightContain(key) {
			t.Errorf("%d has an entry but is not in the filter", i)
		}
	}
	if held != c.Stats().Entries || maybe > 20*size*3/10 {
		t.Errorf("%d entries, %d found; %d false positives of %d", c.Stats().Entries, held, maybe, 20*size-held)
	}
}

// TestSaturatedCounter: a counter that has reached its maximum always reports
// that the key may be present.
func TestSaturatedCounter(t *testing.T) {
	c := newCountingFilter(1)
	for range 300 {
		c.add(key(1))
	}
	for range 300 {
		c.remove(key(1))
	}
	if !c.mightContain(key(1)) {
		t.Error("the filter reports that the key is absent")
	}
}
