package ratelimit

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/race"
)

var start = time.Unix(1_700_000_000, 0)

func newTestMemory(t testing.TB, buckets int, from time.Time) *Memory {
	t.Helper()
	m, err := NewMemory(MemoryConfig{Buckets: buckets, Start: from})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func numbered(n int) (b Bucket) {
	binary.BigEndian.PutUint64(b[8:], uint64(n))
	return b
}

// ask calls Take once and returns the limit that refused.
func ask(t *testing.T, s Store, now time.Time, limits ...Limit) (int, []Result) {
	t.Helper()
	results := make([]Result, len(limits))
	refused, err := s.Take(t.Context(), now, limits, results)
	if err != nil {
		t.Fatal(err)
	}
	return refused, results
}

func TestSeveralLimits(t *testing.T) {
	m := newTestMemory(t, 0, start)
	wide := Limit{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 10, Period: time.Hour}}
	narrow := Limit{Name: "route", Bucket: numbered(2), Rate: Rate{Count: 2, Period: time.Hour}}
	for range 2 {
		if refused, _ := ask(t, m, start, wide, narrow); refused != NotRefused {
			t.Fatal("refused", refused)
		}
	}
	refused, results := ask(t, m, start, wide, narrow)
	if refused != 1 || !results[0].Allowed || results[1].Allowed || results[0].Remaining != 8 {
		t.Fatal("the narrow limit must refuse and the wide one must not be charged:", refused, results)
	}
	if refused, results := ask(t, m, start, wide); refused != NotRefused || results[0].Remaining != 7 {
		t.Fatal("the wide limit alone must allow:", refused, results)
	}
	narrow.Shadow = true
	refused, results = ask(t, m, start, wide, narrow)
	if refused != NotRefused || results[1].Allowed || results[1].RetryAfter <= 0 || results[0].Remaining != 6 {
		t.Fatal("a shadow limit must report that it would refuse, and not refuse:", refused, results)
	}
	if _, results = ask(t, m, start, wide, narrow); results[1].Remaining != 0 || results[1].ResetAfter != time.Hour {
		t.Fatal("a shadow limit must not be charged beyond its burst:", results)
	}
	if got := MostRestrictive([]Limit{wide, narrow}, results); got != 0 {
		t.Fatal("a shadow limit must not be reported:", got)
	}
}

func TestMostRestrictive(t *testing.T) {
	limits := make([]Limit, 3)
	for _, line := range []struct {
		results []Result
		want    int
	}{
		{[]Result{{Allowed: true, Remaining: 5}, {Allowed: true, Remaining: 3}, {Allowed: true, Remaining: 9}}, 1},
		{[]Result{{Allowed: true}, {RetryAfter: 1, Remaining: 3}, {Allowed: true, Remaining: 9}}, 1},
		{[]Result{{RetryAfter: 1}, {RetryAfter: 3}, {RetryAfter: 2}}, 1},
		{[]Result{{Allowed: true, ResetAfter: 1}, {Allowed: true, ResetAfter: 2}, {Allowed: true, ResetAfter: 2}}, 1},
	} {
		if got := MostRestrictive(limits, line.results); got != line.want {
			t.Errorf("%+v: %d", line.results, got)
		}
	}
	if MostRestrictive(nil, nil) != -1 || Refused(nil, nil) != NotRefused {
		t.Error("no limits: want none")
	}
	if Refused(limits[:1], []Result{{}}) != 0 {
		t.Error("the zero Result does not refuse")
	}
}

func TestInvalidCalls(t *testing.T) {
	m := newTestMemory(t, 0, start)
	for _, line := range []struct {
		limits  []Limit
		results int
		want    error
	}{
		{make([]Limit, MaxLimits+1), MaxLimits + 1, ErrLimits},
		{[]Limit{{Rate: Rate{Count: 1, Period: time.Second}}}, 0, ErrLimits},
		{[]Limit{{}}, 1, authz.ErrRate},
		{[]Limit{{Rate: Rate{Count: 1, Period: time.Second}}, {Rate: Rate{Count: -1, Period: time.Second}}}, 2, authz.ErrRate},
	} {
		if _, err := m.Take(t.Context(), start, line.limits, make([]Result, line.results)); !errors.Is(err, line.want) {
			t.Errorf("%+v: %v", line.limits, err)
		}
	}
	if m.Stats(start).Buckets != 0 {
		t.Error("something was charged")
	}
}

// TestHalves: buckets that share only one half are different buckets.
func TestHalves(t *testing.T) {
	m := newTestMemory(t, 1, start) // one set
	for _, b := range []Bucket{{1}, {2}, {15: 1}, {15: 2}, {0: 1, 15: 1}, {0: 2, 15: 1}} {
		if refused, _ := ask(t, m, start, Limit{Name: "key", Bucket: b, Rate: Rate{Count: 1, Period: time.Hour}}); refused != NotRefused {
			t.Error(b)
		}
	}
}

func TestReset(t *testing.T) {
	m := newTestMemory(t, 0, start)
	one := Limit{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 1, Period: time.Hour}}
	ask(t, m, start, one)
	if refused, _ := ask(t, m, start, one); refused != 0 {
		t.Fatal("a second request was allowed")
	}
	if err := m.Reset(t.Context(), one.Bucket, numbered(99)); err != nil {
		t.Fatal(err)
	}
	if refused, _ := ask(t, m, start, one); refused != NotRefused {
		t.Fatal("still refused")
	}
}

// TestClock: a wall clock that goes back or leaps gives no client more than its
// steps forward are worth, and blocks none for longer than the period.
func TestClock(t *testing.T) {
	limit := Limit{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 10, Period: time.Hour}}
	for _, back := range []time.Duration{time.Second, time.Hour, 24 * time.Hour, 50 * 365 * 24 * time.Hour} {
		m := newTestMemory(t, 0, time.Time{})
		admits(t, m, start, limit)
		earlier := start.Add(-back)
		if refused, results := ask(t, m, earlier, limit); refused != 0 || results[0].RetryAfter > 6*time.Minute+time.Second || results[0].ResetAfter > time.Hour {
			t.Errorf("back by %s: %d %+v", back, refused, results)
		}
		if n := admits(t, m, earlier.Add(12*time.Minute), limit); n < 1 || n > 2 {
			t.Errorf("back by %s, two emission intervals later: %d", back, n)
		}
		if n := admits(t, m, earlier.Add(12*time.Minute+time.Hour), limit); n != 10 {
			t.Errorf("back by %s, an hour after that: %d", back, n)
		}
	}
	m := newTestMemory(t, 0, time.Time{})
	for _, leap := range []time.Duration{0, 24 * time.Hour, 200 * 365 * 24 * time.Hour} {
		if n := admits(t, m, start.Add(leap), limit); n != 10 {
			t.Errorf("leap by %s: %d", leap, n)
		}
	}
	if n := admits(t, m, start.Add(time.Hour), limit); n > 10 {
		t.Errorf("back from the leap: %d", n)
	}
}

func admits(t *testing.T, s Store, now time.Time, limit Limit) (n int) {
	t.Helper()
	for range 100 {
		if refused, _ := ask(t, s, now, limit); refused == NotRefused {
			n++
		}
	}
	return n
}

// TestRandomClock: whatever the clock does, no more is admitted than a burst
// and what its steps forward are worth.
func TestRandomClock(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	rate := Rate{Count: 10, Period: time.Minute}
	for range 200 {
		m := newTestMemory(t, 0, time.Time{})
		now, forward, n := start, time.Duration(0), 0
		for range 300 {
			step := time.Duration(r.Int64N(int64(4*time.Second)) - int64(2*time.Second))
			if r.IntN(50) == 0 {
				step *= 100
			}
			now, forward = now.Add(step), forward+max(step, 0)
			if takes(t, m, rate, now.UnixNano()) {
				n++
			}
		}
		if bound := 10 + int(forward/(6*time.Second)) + 1; n > bound {
			t.Fatalf("%d admitted in %s", n, forward)
		}
	}
}

// TestMonotonic: with a Start from time.Now, steps of the wall clock have no
// effect.
func TestMonotonic(t *testing.T) {
	now := time.Now()
	m := newTestMemory(t, 0, now)
	if got := m.micros(now.Add(time.Second)) - m.micros(now); got != 1_000_000 {
		t.Error(got)
	}
}

// TestEvicts: a full store evicts the buckets that would be full again first.
func TestEvicts(t *testing.T) {
	m := newTestMemory(t, 1000, start)
	heavy, light := Rate{Count: 10, Period: time.Hour}, Rate{Count: 1000, Period: time.Hour}
	for i := range 100 {
		for range 10 {
			ask(t, m, start, Limit{Name: "key", Bucket: numbered(i), Rate: heavy})
		}
	}
	for i := 1000; i < 101_000; i++ {
		ask(t, m, start, Limit{Name: "address", Bucket: numbered(i), Rate: light})
	}
	for i := range 100 {
		if refused, _ := ask(t, m, start, Limit{Name: "key", Bucket: numbered(i), Rate: heavy}); refused != 0 {
			t.Fatalf("bucket %d, exhausted, was evicted for buckets with one request", i)
		}
	}
	stats := m.Stats(start)
	if stats.Buckets > 2700 || stats.Evicted < 95_000 {
		t.Errorf("%+v", stats)
	}
	if later := m.Stats(start.Add(time.Minute)); later.Buckets != 100 {
		t.Errorf("after a minute: %+v", later)
	}
}

// TestKeepsItsNumber: the configured number of buckets is kept, within a few in
// ten thousand.
func TestKeepsItsNumber(t *testing.T) {
	const n = 100_000
	m := newTestMemory(t, n, start)
	one := Rate{Count: 1, Period: time.Hour}
	for i := range n {
		ask(t, m, start, Limit{Name: "key", Bucket: numbered(i), Rate: one})
	}
	if stats := m.Stats(start); stats.Evicted > n/1000 || stats.Buckets+int(stats.Evicted) != n {
		t.Errorf("%+v", stats)
	}
}

func TestConcurrentTake(t *testing.T) {
	m := newTestMemory(t, 1000, start)
	rate := Rate{Count: 1000, Period: time.Hour}
	var admitted atomic.Int64
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			results := make([]Result, MaxLimits)
			for range 2000 {
				limits := []Limit{{Name: "key", Bucket: numbered(7), Rate: rate}}
				for len(limits) < 1+r.IntN(MaxLimits) {
					limits = append(limits, Limit{Name: "route", Bucket: numbered(1000 + r.IntN(5000)), Rate: Rate{Count: authz.MaxRateCount, Period: time.Hour}})
				}
				r.Shuffle(len(limits), func(i, j int) { limits[i], limits[j] = limits[j], limits[i] })
				if refused, err := m.Take(t.Context(), start, limits, results); err != nil {
					t.Error(err)
				} else if refused == NotRefused {
					admitted.Add(1)
				}
			}
		})
	}
	all.Wait()
	if admitted.Load() != 1000 {
		t.Errorf("%d admitted", admitted.Load())
	}
}

func TestAllocatesNothing(t *testing.T) {
	m := newTestMemory(t, 0, start)
	limits := []Limit{
		{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 1000, Period: time.Hour}}, {Name: "route", Bucket: numbered(2), Rate: Rate{Count: 7, Period: time.Second, Burst: 20}, Shadow: true},
		{Name: "address", Bucket: numbered(3), Rate: Rate{Count: 60, Period: time.Minute}},
	}
	results := make([]Result, len(limits))
	var s Store = m
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Take(t.Context(), start, limits, results) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestMillion: a million buckets take less than 150 MB of resident memory.
func TestMillion(t *testing.T) {
	before, ok := resident()
	if !ok || testing.Short() || race.Detector {
		t.Skip("needs the resident memory of this process, and neither -short nor the race detector")
	}
	m := newTestMemory(t, 1_000_000, start)
	limits, results := make([]Limit, 1), make([]Result, 1)
	r := rand.New(rand.NewPCG(1, 2))
	for range 1_000_000 {
		limits[0] = Limit{Name: "key", Bucket: Bucket{}, Rate: Rate{Count: 1, Period: time.Hour}}
		fill(r, &limits[0].Bucket)
		if _, err := m.Take(t.Context(), start, limits, results); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := resident()
	stats := m.Stats(start)
	t.Logf("%d MB before, %d MB with %d buckets, %d evicted", before>>20, after>>20, stats.Buckets, stats.Evicted)
	if after-before > 150_000_000 || stats.Buckets < 999_000 {
		t.Errorf("%d MB more for %+v", (after-before)>>20, stats)
	}
	runtime.KeepAlive(m)
}

func resident() (int64, bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}
