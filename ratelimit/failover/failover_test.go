package failover

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
	"keyward/authz/nowait"
	"keyward/ratelimit"
)

// faultyStore is a shared store that can fail and be slow.
type faultyStore struct {
	ratelimit.Store
	fail  atomic.Pointer[error]
	takes time.Duration
	asked atomic.Int64
}

var errDown = errors.New("down")

func (f *faultyStore) down(err error) {
	if err == nil {
		f.fail.Store(nil)
		return
	}
	f.fail.Store(&err)
}

func (f *faultyStore) Take(ctx context.Context, now time.Time, limits []ratelimit.Limit, results []ratelimit.Result) (int, error) {
	if limits[0].Name != "probe" {
		f.asked.Add(1)
	}
	time.Sleep(f.takes)
	if err := f.fail.Load(); err != nil {
		return ratelimit.NotRefused, *err
	}
	return f.Store.Take(ctx, now, limits, results)
}

func newTestStore(t *testing.T, onStoreFailure OnStoreFailure, replicas int, log *bytes.Buffer) (*Store, *faultyStore) {
	t.Helper()
	shared := &faultyStore{Store: newTestMemory(t, 1000, start)}
	cfg := Config{Store: shared, OnStoreFailure: onStoreFailure, Local: newTestMemory(t, 1000, start), Replicas: replicas}
	if log != nil {
		cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f, shared
}

// TestTakesNothingAtOnce: a check that cannot wait does not ask the shared store, but
// for a limit that is known to be used up it need not.
func TestTakesNothingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, shared := newTestStore(t, FailLocal, 1, nil)
		defer f.Close()
		one := []ratelimit.Limit{{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 1, Period: time.Hour}}}
		atOnce := nowait.Context(t.Context())
		if _, err := f.Take(atOnce, start, one, make([]ratelimit.Result, 1)); !errors.Is(err, nowait.Err) || shared.asked.Load() != 0 {
			t.Errorf("%v, asked %d times", err, shared.asked.Load())
		}
		for range 2 {
			_, _ = f.Take(t.Context(), start, one, make([]ratelimit.Result, 1))
		}
		if refused, err := f.Take(atOnce, start, one, make([]ratelimit.Result, 1)); err != nil || refused != 0 {
			t.Errorf("a limit that is used up: %d %v", refused, err)
		}
	})
}

func TestContinuesWithoutTheStore(t *testing.T) {
	for _, line := range []struct {
		onStoreFailure OnStoreFailure
		admitted       int
		err            error
		left           int // after the store answers again and was asked once
	}{{FailClosed, 0, ErrStoreUnavailable, 99}, {FailLocal, 25, nil, 74}, {FailOpen, 200, nil, 49}} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			f, shared := newTestStore(t, line.onStoreFailure, 4, &log)
			defer f.Close()
			shared.down(errDown)
			one := []ratelimit.Limit{{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100, Period: time.Hour}}}
			admitted := 0
			for range 200 {
				refused, err := f.Take(t.Context(), start, one, make([]ratelimit.Result, 1))
				if !errors.Is(err, line.err) {
					t.Fatal(err)
				}
				if err == nil && refused == ratelimit.NotRefused {
					admitted++
				}
			}
			if admitted != line.admitted {
				t.Errorf("%d: %d admitted", line.onStoreFailure, admitted)
			}
			if n := shared.asked.Load(); n != openAt/failure {
				t.Errorf("%d requests asked an unavailable store", n)
			}
			if s := f.Stats(); !s.Unavailable || s.Opened != 1 || s.Failures != 5 || s.LocalDecisions != 200 {
				t.Errorf("%+v", s)
			}
			time.Sleep(10 * time.Second)
			shared.down(nil)
			time.Sleep(defaultEvery)
			synctest.Wait()
			if s := f.Stats(); s.Unavailable {
				t.Errorf("did not recover: %+v", s)
			}
			if refused, results := ask(t, f, start, one[0]); refused != ratelimit.NotRefused || results[0].Remaining != line.left || shared.asked.Load() != 6 {
				t.Error("the shared store is not asked again, or pending charges were not sent:", refused, results)
			}
			if text := log.String(); strings.Count(text, "level=WARN") != 1 || strings.Count(text, "level=INFO") != 1 || strings.Count(text, "\n") != 2 {
				t.Error(text)
			}
		})
	}
}

// TestHalfOpen: after a probe closed the circuit, the first failure opens it.
func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, shared := newTestStore(t, FailOpen, 1, nil)
		defer f.Close()
		one := []ratelimit.Limit{{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100, Period: time.Hour}}}
		for _, want := range []int64{5, 1, 1} {
			shared.down(errDown)
			shared.asked.Store(0)
			for range 20 {
				_, _ = f.Take(t.Context(), start, one, make([]ratelimit.Result, 1))
			}
			if n := shared.asked.Load(); n != want {
				t.Errorf("%d asked, want %d", n, want)
			}
			shared.down(nil)
			time.Sleep(defaultEvery)
			synctest.Wait()
		}
	})
}

// TestSomeFail: the circuit opens if one call in three fails, and stays closed
// if one in a hundred fails.
func TestSomeFail(t *testing.T) {
	for _, line := range []struct {
		every       int
		unavailable bool
	}{{3, true}, {100, false}} {
		synctest.Test(t, func(t *testing.T) {
			f, shared := newTestStore(t, FailOpen, 1, nil)
			defer f.Close()
			for i := range 1000 {
				shared.down(nil)
				if i%line.every == 0 {
					shared.down(errDown)
				}
				_, _ = f.Take(t.Context(), start, []ratelimit.Limit{{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100_000, Period: time.Hour}}}, make([]ratelimit.Result, 1))
			}
			if s := f.Stats(); s.Unavailable != line.unavailable {
				t.Errorf("1 in %d: %+v", line.every, s)
			}
		})
	}
}

// TestCallerLeaves: a caller that stops waiting says nothing about the store.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, shared := newTestStore(t, FailOpen, 1, nil)
		defer f.Close()
		shared.takes = 20 * time.Millisecond
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			_, err := f.Take(ctx, start, []ratelimit.Limit{{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100, Period: time.Hour}}}, make([]ratelimit.Result, 1))
			if cancel(); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		if s := f.Stats(); s.Unavailable || s.Failures != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestStall: while eight calls wait and none returns, the ninth does not wait,
// unless that would allow every request.
func TestStall(t *testing.T) {
	for onStoreFailure, want := range map[OnStoreFailure]time.Duration{FailClosed: 0, FailLocal: 0, FailOpen: defaultTimeout} {
		synctest.Test(t, func(t *testing.T) {
			f, shared := newTestStore(t, onStoreFailure, 1, nil)
			defer f.Close()
			shared.takes = 100 * time.Millisecond
			ask := func() {
				_, _ = f.Take(t.Context(), start, []ratelimit.Limit{{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100, Period: time.Hour}}}, make([]ratelimit.Result, 1))
			}
			for range stallInFlight {
				go ask()
			}
			time.Sleep(defaultTimeout/2 + time.Millisecond)
			before := time.Now()
			ask()
			if waited := time.Since(before); waited != want {
				t.Errorf("%d: waited %s, want %s", onStoreFailure, waited, want)
			}
			time.Sleep(time.Second)
			asked := int64(stallInFlight)
			if want > 0 {
				asked++
			}
			if n := shared.asked.Load(); n != asked {
				t.Error(n)
			}
		})
	}
}

// lateClock is the clock of a process that waits for processors. Each reading
// is late by another step.
type lateClock struct{ step, late atomic.Int64 }

func (c *lateClock) now() time.Time {
	return time.Now().Add(time.Duration(c.late.Add(c.step.Load())))
}

func (c *lateClock) sticks(step time.Duration) { c.step.Store(int64(step)) }

// TestProcessLate: while this process waits for processors no timeout counts as
// the store's, and FailOpen allows no request. An error that the store returns
// counts.
func TestProcessLate(t *testing.T) {
	for onStoreFailure, want := range map[OnStoreFailure]error{FailClosed: ErrStoreUnavailable, FailLocal: nil, FailOpen: ErrProcessLate} {
		synctest.Test(t, func(t *testing.T) {
			var clock lateClock
			shared := &faultyStore{Store: newTestMemory(t, 1000, start), takes: time.Second}
			f, err := New(Config{Store: shared, OnStoreFailure: onStoreFailure, Local: newTestMemory(t, 1000, start), Replicas: 50, Now: clock.now})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			one := ratelimit.Limit{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100, Period: time.Hour}}
			clock.sticks(10 * time.Millisecond)
			admitted := 0
			for range 5 {
				refused, err := f.Take(t.Context(), start, []ratelimit.Limit{one}, make([]ratelimit.Result, 1))
				if !errors.Is(err, want) {
					t.Errorf("%d: %v, want %v", onStoreFailure, err, want)
				}
				if err == nil && refused == ratelimit.NotRefused {
					admitted++
				}
			}
			if s := f.Stats(); admitted > 2 || s.Failures != 0 || s.Unavailable {
				t.Errorf("%d: %d admitted, %+v", onStoreFailure, admitted, s)
			}
			shared.down(errDown)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if s := f.Stats(); !s.Unavailable || s.Failures != 5 {
				t.Errorf("%d: an error of the store was not counted: %+v", onStoreFailure, s)
			}
		})
	}
}

// TestReplyBeforeCauseIsKnown: a reply that arrived while this process was late
// is used, and the store gets more time for it if necessary.
func TestReplyBeforeCauseIsKnown(t *testing.T) {
	for _, line := range []struct {
		takes time.Duration
		late  time.Duration
		err   error
		left  int
	}{
		{takes: 30 * time.Millisecond, late: 40 * time.Millisecond, left: 9},
		{takes: 59 * time.Millisecond, late: 40 * time.Millisecond, left: 9},
		{takes: 61 * time.Millisecond, late: 40 * time.Millisecond, err: ErrProcessLate},
		{takes: 30 * time.Millisecond, left: 10}, // the store was late, and every request is allowed
	} {
		synctest.Test(t, func(t *testing.T) {
			var clock lateClock
			shared := &faultyStore{Store: newTestMemory(t, 1000, start), takes: line.takes}
			f, err := New(Config{Store: shared, OnStoreFailure: FailOpen, Now: clock.now})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			clock.sticks(line.late)
			results := make([]ratelimit.Result, 1)
			_, err = f.Take(t.Context(), start, []ratelimit.Limit{{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 10, Period: time.Hour}}}, results)
			if !errors.Is(err, line.err) || err == nil && results[0].Remaining != line.left {
				t.Errorf("%+v: %+v, %v", line, results, err)
			}
			time.Sleep(time.Second)
		})
	}
}

// TestProbeWhileLate: a store that answers again is noticed even if this
// process waits for processors. A slow store stays unavailable.
func TestProbeWhileLate(t *testing.T) {
	for late, unavailable := range map[time.Duration]bool{0: true, 10 * time.Millisecond: false} {
		synctest.Test(t, func(t *testing.T) {
			var clock lateClock
			shared := &faultyStore{Store: newTestMemory(t, 1000, start)}
			f, err := New(Config{Store: shared, OnStoreFailure: FailOpen, Now: clock.now})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			shared.down(errDown)
			for range 5 {
				_, _ = f.Take(t.Context(), start, []ratelimit.Limit{{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100, Period: time.Hour}}}, make([]ratelimit.Result, 1))
			}
			if !f.Stats().Unavailable {
				t.Fatal("the store is not unavailable")
			}
			shared.down(nil)
			shared.takes = 30 * time.Millisecond
			clock.sticks(late)
			time.Sleep(2 * defaultEvery)
			synctest.Wait()
			if f.Stats().Unavailable != unavailable {
				t.Errorf("late by %s: unavailable %v", late, !unavailable)
			}
		})
	}
}

// hangingStore is a store that replies to nothing.
type hangingStore struct{ ratelimit.Store }

func (hangingStore) Take(ctx context.Context, _ time.Time, _ []ratelimit.Limit, _ []ratelimit.Result) (int, error) {
	<-ctx.Done()
	return ratelimit.NotRefused, ctx.Err()
}

// TestCloseIsNotAFailure: calls that Close cancels are decided without the
// store, and neither count as its failures nor open the circuit.
func TestCloseIsNotAFailure(t *testing.T) {
	for onStoreFailure, want := range map[OnStoreFailure]error{FailClosed: ErrStoreUnavailable, FailLocal: nil, FailOpen: nil} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			f, err := New(Config{
				Store: hangingStore{}, OnStoreFailure: onStoreFailure, Local: newTestMemory(t, 1000, start),
				Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			var calls sync.WaitGroup
			for range openAt / failure {
				calls.Go(func() {
					one := []ratelimit.Limit{{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100, Period: time.Hour}}}
					if _, err := f.Take(t.Context(), start, one, make([]ratelimit.Result, 1)); !errors.Is(err, want) {
						t.Errorf("%d: %v, want %v", onStoreFailure, err, want)
					}
				})
			}
			synctest.Wait()
			_ = f.Close()
			calls.Wait()
			if s := f.Stats(); s.Failures != 0 || s.Unavailable || log.Len() > 0 {
				t.Errorf("%d: %+v, log: %s", onStoreFailure, s, log.String())
			}
		})
	}
}

// panickingStore is a store whose replies panic.
type panickingStore struct{ ratelimit.Store }

func (panickingStore) Take(context.Context, time.Time, []ratelimit.Limit, []ratelimit.Result) (int, error) {
	panic("len out of range")
}

// TestStoreThatPanics: a panic counts as a failure.
func TestStoreThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := New(Config{Store: panickingStore{}, OnStoreFailure: FailClosed})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for range 10 {
			if _, err := f.Take(t.Context(), start, []ratelimit.Limit{{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100, Period: time.Hour}}}, make([]ratelimit.Result, 1)); !errors.Is(err, ErrStoreUnavailable) {
				t.Error(err)
			}
		}
		time.Sleep(time.Second) // a probe runs
		if s := f.Stats(); !s.Unavailable || s.Failures != 5 {
			t.Errorf("%+v", s)
		}
	})
}

// TestNoSecondBurst: when the store becomes unavailable, a replica does not
// allow again what it allowed by the store's decision.
func TestNoSecondBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, shared := newTestStore(t, FailLocal, 4, nil)
		defer f.Close()
		limit := ratelimit.Limit{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100, Period: time.Hour}}
		for range 20 {
			if refused, _ := ask(t, f, start, limit); refused != ratelimit.NotRefused {
				t.Fatal(refused)
			}
		}
		shared.down(errDown)
		if n := admits(t, f, start, limit); n != 5 {
			t.Errorf("%d more of a share of 25", n)
		}
	})
}

func TestDenyCache(t *testing.T) { synctest.Test(t, testDenyCache) }

func testDenyCache(t *testing.T) {
	f, shared := newTestStore(t, FailClosed, 1, nil)
	defer f.Close()
	limit := ratelimit.Limit{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 2, Period: time.Second}}
	other := ratelimit.Limit{Name: "route", Bucket: numbered(2), Rate: ratelimit.Rate{Count: 10, Period: time.Second}}
	ask(t, f, start, other, limit)
	if _, results := ask(t, f, start, other, limit); !results[1].Allowed || results[1].Remaining != 0 {
		t.Fatal(results)
	}
	refused, results := ask(t, f, start.Add(100*time.Millisecond), other, limit)
	want := ratelimit.Result{Limit: 2, RetryAfter: 400 * time.Millisecond, ResetAfter: 900 * time.Millisecond}
	results[1].RetryAfter, results[1].ResetAfter = results[1].RetryAfter.Round(time.Millisecond), results[1].ResetAfter.Round(time.Millisecond)
	if refused != 1 || results[1] != want || shared.asked.Load() != 2 || f.Stats().CachedDenials != 1 {
		t.Error("not refused by the cached denial:", refused, results, shared.asked.Load())
	}
	if refused, _ := ask(t, f, start.Add(500*time.Millisecond), limit); refused != ratelimit.NotRefused || shared.asked.Load() != 3 {
		t.Error("not asked when the store allows one:", refused)
	}
	if refused, _ := ask(t, f, start.Add(501*time.Millisecond), other); refused != ratelimit.NotRefused {
		t.Error("another bucket is refused:", refused)
	}
	changed := limit
	changed.Rate.Count = 1000
	if refused, _ := ask(t, f, start.Add(502*time.Millisecond), changed); refused != ratelimit.NotRefused {
		t.Error("another rate is refused:", refused)
	}
	if err := f.Reset(t.Context(), limit.Bucket); err != nil {
		t.Fatal(err)
	}
	if refused, _ := ask(t, f, start.Add(503*time.Millisecond), limit); refused != ratelimit.NotRefused {
		t.Error("refused after Reset:", refused)
	}
}

// TestDenyCacheExpires: a denial of hours is asked again after a second, and a
// shadow limit is never cached.
func TestDenyCacheExpires(t *testing.T) { synctest.Test(t, testDenyCacheEnd) }

func testDenyCacheEnd(t *testing.T) {
	f, shared := newTestStore(t, FailClosed, 1, nil)
	defer f.Close()
	limit := ratelimit.Limit{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 1, Period: time.Hour}}
	ask(t, f, start, limit)
	for i := range 3000 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		refused, results := ask(t, f, now, limit)
		if left := start.Add(time.Hour).Sub(now); refused != 0 || results[0].RetryAfter > left || results[0].RetryAfter < left-time.Millisecond {
			t.Fatal(i, refused, results, left)
		}
	}
	if n := shared.asked.Load(); n != 3 {
		t.Errorf("asked %d times in 3 s", n)
	}
	if refused, _ := ask(t, f, start.Add(-time.Minute), limit); refused != 0 || shared.asked.Load() != 4 {
		t.Error("the denial did not end when the clock went back")
	}
	limit.Bucket, limit.Shadow = numbered(2), true
	ask(t, f, start, limit)
	for range 5 {
		if refused, results := ask(t, f, start, limit); refused != ratelimit.NotRefused || results[0].Allowed {
			t.Error(refused, results)
		}
	}
	if _, cached := f.denials.shard(&limit.Bucket).denials[limit.Bucket]; cached {
		t.Error("a shadow limit is cached")
	}
}

// TestDenyCacheRefusesNoMore: a store with the cache in front admits what it
// admits without the cache.
func TestDenyCacheRefusesNoMore(t *testing.T) { synctest.Test(t, testDenyCacheRefuseNoMore) }

func testDenyCacheRefuseNoMore(t *testing.T) {
	f, _ := newTestStore(t, FailClosed, 1, nil)
	defer f.Close()
	reference := newTestMemory(t, 100, start)
	for _, rate := range []ratelimit.Rate{
		{Count: 7, Period: time.Second}, {Count: 1000, Period: time.Hour}, {Count: 3, Period: 10 * time.Millisecond}, {Count: 11, Period: time.Minute, Burst: 3},
		{Count: 13, Period: time.Second, Burst: 40}, {Count: 999_983, Period: time.Second, Burst: 17}, {Count: authz.MaxRateCount, Period: time.Second, Burst: 5},
		{Count: 6000, Period: time.Minute}, {Count: 1, Period: time.Second}, {Count: 1, Period: 24 * time.Hour, Burst: 1}, {Count: authz.MaxRateCount, Period: time.Hour},
	} {
		limit := ratelimit.Limit{Name: "key", Bucket: numbered(rate.Count), Rate: rate}
		now := start
		for i := range 2000 {
			now = now.Add(time.Duration(i%7) * rate.Period / time.Duration(rate.Count) / 3)
			got, _ := ask(t, f, now, limit)
			if want, _ := ask(t, reference, now, limit); got != want {
				t.Fatalf("%s, request %d: %d with the cache, %d without", rate, i, got, want)
			}
		}
	}
	if f.Stats().CachedDenials == 0 {
		t.Error("no denial was cached")
	}
}

func TestDenyCacheIsBounded(t *testing.T) {
	h := newDenialCache(640)
	rate := ratelimit.Rate{Count: 1, Period: time.Hour}
	for i := range 100_000 {
		h.put(numbered(i), denial{start, start.Add(time.Hour), rate}, start)
	}
	n := 0
	for i := range h.shards {
		n += len(h.shards[i].denials)
	}
	if n != 640 {
		t.Error(n)
	}
	later := start.Add(2 * time.Second)
	h.put(numbered(100_000), denial{later, later.Add(time.Hour), rate}, later)
	if h.wait(&ratelimit.Limit{Bucket: numbered(100_000), Rate: rate}, later) != time.Hour {
		t.Error("not cached after the others expired")
	}
}

func TestConfig(t *testing.T) {
	m := newTestMemory(t, 1, start)
	for _, bad := range []Config{
		{}, {Store: m, OnStoreFailure: FailLocal}, {Store: m, OnStoreFailure: FailOpen + 1}, {Store: m, Replicas: -1}, {Store: m, Replicas: maxReplicas + 1}, {Store: m, MaxDenials: -1}, {Store: m, ProbeInterval: -1},
	} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
	f, err := New(Config{Store: m})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Take(t.Context(), start, make([]ratelimit.Limit, 1), make([]ratelimit.Result, 1)); !errors.Is(err, authz.ErrRate) {
		t.Error(err)
	}
	if _, err := f.Peek(t.Context(), start, make([]ratelimit.Limit, 1), nil); !errors.Is(err, ratelimit.ErrLimits) {
		t.Error(err)
	}
}
