package ratelimit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
)

// faultyStore is a shared store that can be taken away.
type faultyStore struct {
	Store
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

func (f *faultyStore) Take(ctx context.Context, now time.Time, limits []Limit, results []Result) (int, error) {
	if limits[0].Name != "probe" {
		f.asked.Add(1)
	}
	time.Sleep(f.takes)
	if err := f.fail.Load(); err != nil {
		return NotRefused, *err
	}
	return f.Store.Take(ctx, now, limits, results)
}

func newTestFallback(t *testing.T, onStoreFailure OnStoreFailure, replicas int, log *bytes.Buffer) (*Fallback, *faultyStore) {
	t.Helper()
	shared := &faultyStore{Store: newTestMemory(t, 1000, start)}
	cfg := FallbackConfig{Store: shared, OnStoreFailure: onStoreFailure, Local: newTestMemory(t, 1000, start), Replicas: replicas}
	if log != nil {
		cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	f, err := NewFallback(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f, shared
}

func TestGoesOnWithout(t *testing.T) {
	for _, line := range []struct {
		onStoreFailure OnStoreFailure
		admitted       int
		err            error
		left           int // when it is back and was asked once
	}{{FailClosed, 0, ErrStoreUnavailable, 99}, {FailLocal, 25, nil, 74}, {FailOpen, 200, nil, 49}} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			f, shared := newTestFallback(t, line.onStoreFailure, 4, &log)
			defer f.Close()
			shared.down(errDown)
			one := []Limit{{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 100, Period: time.Hour}}}
			admitted := 0
			for range 200 {
				refused, err := f.Take(t.Context(), start, one, make([]Result, 1))
				if !errors.Is(err, line.err) {
					t.Fatal(err)
				}
				if err == nil && refused == NotRefused {
					admitted++
				}
			}
			if admitted != line.admitted {
				t.Errorf("%d: %d admitted", line.onStoreFailure, admitted)
			}
			if n := shared.asked.Load(); n != openAt/failure {
				t.Errorf("%d requests asked a store that was away", n)
			}
			if s := f.Stats(); !s.Unavailable || s.Opened != 1 || s.Failures != 5 || s.LocalDecisions != 200 {
				t.Errorf("%+v", s)
			}
			time.Sleep(10 * time.Second)
			shared.down(nil)
			time.Sleep(defaultEvery)
			synctest.Wait()
			if s := f.Stats(); s.Unavailable {
				t.Errorf("not healed: %+v", s)
			}
			if refused, results := ask(t, f, start, one[0]); refused != NotRefused || results[0].Remaining != line.left || shared.asked.Load() != 6 {
				t.Error("the shared store is not asked again, or not told what was let in:", refused, results)
			}
			if text := log.String(); strings.Count(text, "level=WARN") != 1 || strings.Count(text, "level=INFO") != 1 || strings.Count(text, "\n") != 2 {
				t.Error(text)
			}
		})
	}
}

// TestOnProbation: closed again, the first failure opens it.
func TestOnProbation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, shared := newTestFallback(t, FailOpen, 1, nil)
		defer f.Close()
		one := []Limit{{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 100, Period: time.Hour}}}
		for _, want := range []int64{5, 1, 1} {
			shared.down(errDown)
			shared.asked.Store(0)
			for range 20 {
				_, _ = f.Take(t.Context(), start, one, make([]Result, 1))
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

// TestSomeFail: of a store that fails one time in three none waits for long; one that fails one time in a hundred goes on being asked.
func TestSomeFail(t *testing.T) {
	for _, line := range []struct {
		every int
		away  bool
	}{{3, true}, {100, false}} {
		synctest.Test(t, func(t *testing.T) {
			f, shared := newTestFallback(t, FailOpen, 1, nil)
			defer f.Close()
			for i := range 1000 {
				shared.down(nil)
				if i%line.every == 0 {
					shared.down(errDown)
				}
				_, _ = f.Take(t.Context(), start, []Limit{{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 100_000, Period: time.Hour}}}, make([]Result, 1))
			}
			if s := f.Stats(); s.Unavailable != line.away {
				t.Errorf("1 in %d: %+v", line.every, s)
			}
		})
	}
}

// TestNobodyWaits: a caller who left says nothing about the store.
func TestNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, shared := newTestFallback(t, FailOpen, 1, nil)
		defer f.Close()
		shared.takes = 20 * time.Millisecond
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			_, err := f.Take(ctx, start, []Limit{{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 100, Period: time.Hour}}}, make([]Result, 1))
			if cancel(); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		if s := f.Stats(); s.Unavailable || s.Failures != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestStall: where eight wait and nothing comes back, the ninth does not, unless all would pass by that.
func TestStall(t *testing.T) {
	for onStoreFailure, want := range map[OnStoreFailure]time.Duration{FailClosed: 0, FailLocal: 0, FailOpen: defaultTimeout} {
		synctest.Test(t, func(t *testing.T) {
			f, shared := newTestFallback(t, onStoreFailure, 1, nil)
			defer f.Close()
			shared.takes = 100 * time.Millisecond
			ask := func() {
				_, _ = f.Take(t.Context(), start, []Limit{{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 100, Period: time.Hour}}}, make([]Result, 1))
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

// lateClock is the clock of a process that waits for processors: it is late by a step with each look at it.
type lateClock struct{ step, late atomic.Int64 }

func (c *lateClock) now() time.Time {
	return time.Now().Add(time.Duration(c.late.Add(c.step.Load())))
}

func (c *lateClock) sticks(step time.Duration) { c.step.Store(int64(step)) }

// TestLateOurselves: while the process waits for processors no time-out is the
// store's: none is counted, and Allow lets in none. The store's own error is.
func TestLateOurselves(t *testing.T) {
	for onStoreFailure, want := range map[OnStoreFailure]error{FailClosed: ErrStoreUnavailable, FailLocal: nil, FailOpen: ErrProcessLate} {
		synctest.Test(t, func(t *testing.T) {
			var clock lateClock
			shared := &faultyStore{Store: newTestMemory(t, 1000, start), takes: time.Second}
			f, err := NewFallback(FallbackConfig{Store: shared, OnStoreFailure: onStoreFailure, Local: newTestMemory(t, 1000, start), Replicas: 50, Now: clock.now})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			one := Limit{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 100, Period: time.Hour}}
			clock.sticks(10 * time.Millisecond)
			admitted := 0
			for range 5 {
				refused, err := f.Take(t.Context(), start, []Limit{one}, make([]Result, 1))
				if !errors.Is(err, want) {
					t.Errorf("%d: %v, want %v", onStoreFailure, err, want)
				}
				if err == nil && refused == NotRefused {
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
				t.Errorf("%d: the store has failed by its own word: %+v", onStoreFailure, s)
			}
		})
	}
}

// TestAnswerThatIsThere: what came while we were late is the answer, with some more time for it where that is needed.
func TestAnswerThatIsThere(t *testing.T) {
	for _, line := range []struct {
		takes time.Duration
		late  time.Duration
		err   error
		left  int
	}{
		{takes: 30 * time.Millisecond, late: 40 * time.Millisecond, left: 9},
		{takes: 59 * time.Millisecond, late: 40 * time.Millisecond, left: 9},
		{takes: 61 * time.Millisecond, late: 40 * time.Millisecond, err: ErrProcessLate},
		{takes: 30 * time.Millisecond, left: 10}, // the store was late, and all pass
	} {
		synctest.Test(t, func(t *testing.T) {
			var clock lateClock
			shared := &faultyStore{Store: newTestMemory(t, 1000, start), takes: line.takes}
			f, err := NewFallback(FallbackConfig{Store: shared, OnStoreFailure: FailOpen, Now: clock.now})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			clock.sticks(line.late)
			results := make([]Result, 1)
			_, err = f.Take(t.Context(), start, []Limit{{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 10, Period: time.Hour}}}, results)
			if !errors.Is(err, line.err) || err == nil && results[0].Remaining != line.left {
				t.Errorf("%+v: %+v, %v", line, results, err)
			}
			time.Sleep(time.Second)
		})
	}
}

// TestProbeWhileLate: a store that is back is found so, though the process waits for processors; a slow one is not.
func TestProbeWhileLate(t *testing.T) {
	for late, away := range map[time.Duration]bool{0: true, 10 * time.Millisecond: false} {
		synctest.Test(t, func(t *testing.T) {
			var clock lateClock
			shared := &faultyStore{Store: newTestMemory(t, 1000, start)}
			f, err := NewFallback(FallbackConfig{Store: shared, OnStoreFailure: FailOpen, Now: clock.now})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			shared.down(errDown)
			for range 5 {
				_, _ = f.Take(t.Context(), start, []Limit{{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 100, Period: time.Hour}}}, make([]Result, 1))
			}
			if !f.Stats().Unavailable {
				t.Fatal("not away")
			}
			shared.down(nil)
			shared.takes = 30 * time.Millisecond
			clock.sticks(late)
			time.Sleep(2 * defaultEvery)
			synctest.Wait()
			if f.Stats().Unavailable != away {
				t.Errorf("late by %s: away %v", late, !away)
			}
		})
	}
}

// panickingStore is a store whose answers end goroutines.
type panickingStore struct{ Store }

func (panickingStore) Take(context.Context, time.Time, []Limit, []Result) (int, error) {
	panic("len out of range")
}

// TestStoreThatPanics: that is one failure more.
func TestStoreThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := NewFallback(FallbackConfig{Store: panickingStore{}, OnStoreFailure: FailClosed})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for range 10 {
			if _, err := f.Take(t.Context(), start, []Limit{{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 100, Period: time.Hour}}}, make([]Result, 1)); !errors.Is(err, ErrStoreUnavailable) {
				t.Error(err)
			}
		}
		time.Sleep(time.Second) // it is looked for
		if s := f.Stats(); !s.Unavailable || s.Failures != 5 {
			t.Errorf("%+v", s)
		}
	})
}

// TestNoSecondBurst: what a replica let pass on the store's word it has not to give again when the store goes.
func TestNoSecondBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, shared := newTestFallback(t, FailLocal, 4, nil)
		defer f.Close()
		limit := Limit{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 100, Period: time.Hour}}
		for range 20 {
			if refused, _ := ask(t, f, start, limit); refused != NotRefused {
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
	f, shared := newTestFallback(t, FailClosed, 1, nil)
	defer f.Close()
	limit := Limit{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 2, Period: time.Second}}
	other := Limit{Name: "route", Bucket: numbered(2), Rate: Rate{Count: 10, Period: time.Second}}
	ask(t, f, start, other, limit)
	if _, results := ask(t, f, start, other, limit); !results[1].Allowed || results[1].Remaining != 0 {
		t.Fatal(results)
	}
	refused, results := ask(t, f, start.Add(100*time.Millisecond), other, limit)
	want := Result{Limit: 2, RetryAfter: 400 * time.Millisecond, ResetAfter: 900 * time.Millisecond}
	results[1].RetryAfter, results[1].ResetAfter = results[1].RetryAfter.Round(time.Millisecond), results[1].ResetAfter.Round(time.Millisecond)
	if refused != 1 || results[1] != want || shared.asked.Load() != 2 || f.Stats().CachedDenials != 1 {
		t.Error("refused by what the store said:", refused, results, shared.asked.Load())
	}
	if refused, _ := ask(t, f, start.Add(500*time.Millisecond), limit); refused != NotRefused || shared.asked.Load() != 3 {
		t.Error("asked again when the store takes one:", refused)
	}
	if refused, _ := ask(t, f, start.Add(501*time.Millisecond), other); refused != NotRefused {
		t.Error("another bucket:", refused)
	}
	changed := limit
	changed.Rate.Count = 1000
	if refused, _ := ask(t, f, start.Add(502*time.Millisecond), changed); refused != NotRefused {
		t.Error("another rate:", refused)
	}
	if err := f.Reset(t.Context(), limit.Bucket); err != nil {
		t.Fatal(err)
	}
	if refused, _ := ask(t, f, start.Add(503*time.Millisecond), limit); refused != NotRefused {
		t.Error("reset:", refused)
	}
}

// TestDenyCacheExpires: a hold of hours is asked again after a second, and a shadow limit is never held.
func TestDenyCacheExpires(t *testing.T) { synctest.Test(t, testDenyCacheEnd) }

func testDenyCacheEnd(t *testing.T) {
	f, shared := newTestFallback(t, FailClosed, 1, nil)
	defer f.Close()
	limit := Limit{Name: "key", Bucket: numbered(1), Rate: Rate{Count: 1, Period: time.Hour}}
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
		t.Error("a clock that went back ends a hold")
	}
	limit.Bucket, limit.Shadow = numbered(2), true
	ask(t, f, start, limit)
	for range 5 {
		if refused, results := ask(t, f, start, limit); refused != NotRefused || results[0].Allowed {
			t.Error(refused, results)
		}
	}
	if _, held := f.denials.shard(&limit.Bucket).denials[limit.Bucket]; held {
		t.Error("a shadow limit takes the room of others")
	}
}

// TestDenyCacheRefusesNoMore: with the holds before it a store admits what it admits without them.
func TestDenyCacheRefusesNoMore(t *testing.T) { synctest.Test(t, testDenyCacheRefuseNoMore) }

func testDenyCacheRefuseNoMore(t *testing.T) {
	f, _ := newTestFallback(t, FailClosed, 1, nil)
	defer f.Close()
	plain := newTestMemory(t, 100, start)
	for _, rate := range someRates {
		limit := Limit{Name: "key", Bucket: numbered(rate.Count), Rate: rate}
		now := start
		for i := range 2000 {
			now = now.Add(time.Duration(i%7) * rate.Period / time.Duration(rate.Count) / 3)
			got, _ := ask(t, f, now, limit)
			if want, _ := ask(t, plain, now, limit); got != want {
				t.Fatalf("%s, request %d: %d with holds, %d without", rate, i, got, want)
			}
		}
	}
	if f.Stats().CachedDenials == 0 {
		t.Error("nothing was held")
	}
}

func TestDenyCacheIsBounded(t *testing.T) {
	h := newDenialCache(640)
	rate := Rate{Count: 1, Period: time.Hour}
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
	if h.wait(&Limit{Bucket: numbered(100_000), Rate: rate}, later) != time.Hour {
		t.Error("no room after the others were over")
	}
}

func TestFallbackConfig(t *testing.T) {
	m := newTestMemory(t, 1, start)
	for _, bad := range []FallbackConfig{
		{}, {Store: m, OnStoreFailure: FailLocal}, {Store: m, OnStoreFailure: FailOpen + 1}, {Store: m, Replicas: -1}, {Store: m, Replicas: maxReplicas + 1}, {Store: m, MaxDenials: -1}, {Store: m, ProbeInterval: -1},
	} {
		if _, err := NewFallback(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
	f, err := NewFallback(FallbackConfig{Store: m})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Take(t.Context(), start, make([]Limit, 1), make([]Result, 1)); !errors.Is(err, authz.ErrRate) {
		t.Error(err)
	}
	if _, err := f.Peek(t.Context(), start, make([]Limit, 1), nil); !errors.Is(err, ErrLimits) {
		t.Error(err)
	}
}
