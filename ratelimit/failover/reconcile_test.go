package failover

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyward/ratelimit"
)

// left returns how many requests the shared store still allows.
func left(t *testing.T, shared *faultyStore, limit ratelimit.Limit) int {
	t.Helper()
	results := make([]ratelimit.Result, 1)
	if _, err := shared.Peek(t.Context(), start, []ratelimit.Limit{limit}, results); err != nil {
		t.Fatal(err)
	}
	return results[0].Remaining
}

// TestChargedAfterwards: a request that was allowed without the store is
// charged there once, whether the store was late, failed, or refuses it.
func TestChargedAfterwards(t *testing.T) {
	limit := ratelimit.Limit{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 10, Period: time.Hour}}
	route := ratelimit.Limit{Name: "route", Bucket: numbered(2), Rate: ratelimit.Rate{Count: 100, Period: time.Hour}}
	const late = 2 * defaultTimeout
	for _, line := range []struct {
		name    string
		before  int // requests of another replica
		takes   time.Duration
		err     error
		pending bool // requests are still to be charged when all replies have arrived
		// What remains after one more request. A request that a cached denial
		// refuses does not reach the store.
		after, onRoute int
	}{
		{"in time", 0, 0, nil, false, 8, 98},
		{"late, and charged", 0, late, nil, false, 8, 98},
		{"late, and refused", 10, late, nil, true, 0, 100},
		{"failed", 0, 0, errDown, true, 8, 98},
		{"late, and failed", 0, late, errDown, true, 8, 98},
	} {
		t.Run(line.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, shared := newTestStore(t, FailLocal, 1, nil)
				defer f.Close()
				for range line.before {
					ask(t, shared, start, limit)
				}
				shared.takes = line.takes
				shared.down(line.err)
				begun := time.Now()
				if refused, _ := ask(t, f, start, route, limit); refused != ratelimit.NotRefused || time.Since(begun) > defaultTimeout {
					t.Error(refused, time.Since(begun))
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if pending := f.pending.buckets.Load() > 0; pending != line.pending {
					t.Error("pending:", pending)
				}
				shared.takes = 0
				shared.down(nil)
				refused, _ := ask(t, f, start, route, limit)
				if got := left(t, shared, limit); got != line.after || (refused != ratelimit.NotRefused) != (line.before > 0) {
					t.Error("remaining:", got, refused)
				}
				if got := left(t, shared, route); got != line.onRoute {
					t.Errorf("remaining of the route: %d, want %d", got, line.onRoute)
				}
			})
		})
	}
}

// TestFailedCallKeepsPendingCharges: pending charges that were sent with a
// failed call are sent again.
func TestFailedCallKeepsPendingCharges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, shared := newTestStore(t, FailLocal, 1, nil)
		defer f.Close()
		limit := ratelimit.Limit{Name: "key", Bucket: numbered(1), Rate: ratelimit.Rate{Count: 10, Period: time.Hour}}
		shared.down(errDown)
		for range 4 {
			ask(t, f, start, limit)
		}
		shared.down(nil)
		ask(t, f, start, limit)
		if got := left(t, shared, limit); got != 5 {
			t.Error(got)
		}
		// A Peek charges neither the request nor what is pending, even after a
		// failed call.
		shared.down(errDown)
		ask(t, f, start, limit)
		shared.down(nil)
		if _, err := f.Peek(t.Context(), start, []ratelimit.Limit{limit}, make([]ratelimit.Result, 1)); err != nil || left(t, shared, limit) != 5 {
			t.Error("Peek charges:", err, left(t, shared, limit))
		}
		if err := f.Reset(t.Context(), limit.Bucket); err != nil || f.pending.buckets.Load() != 0 {
			t.Error("pending after Reset", err)
		}
	})
}

// TestPendingChargesDecay: pending charges do not decay before the bucket has
// refilled in the store, and then at this replica's share of the rate.
func TestPendingChargesDecay(t *testing.T) {
	d := newPendingCharges(100, 4)
	limit := ratelimit.Limit{Bucket: numbered(1), Rate: ratelimit.Rate{Count: 100, Period: 100 * time.Second, Burst: 50}}
	for after, want := range map[time.Duration]int{
		0: 20, 49 * time.Second: 20, 50 * time.Second: 20, 54 * time.Second: 19, 50*time.Second + 79*time.Second: 1, 130 * time.Second: 0, time.Hour: 0,
	} {
		d.add(start, start, &limit, 5)
		d.add(start.Add(time.Second), start, &limit, 15)
		if got := d.takeOne(start.Add(after), &limit); got != want {
			t.Errorf("after %s: %d, want %d", after, got, want)
		}
	}
	d.add(start, start.Add(-time.Hour), &limit, 20)
	if got := d.takeOne(start.Add(4*time.Second), &limit); got != 19 {
		t.Error("after the store was unavailable for long:", got)
	}
	d.add(start, start.Add(time.Hour), &limit, 1)
	if got := d.takeOne(start.Add(-time.Hour), &limit); got != 1 {
		t.Error("after the clock went back:", got)
	}
	if d.buckets.Load() != 0 {
		t.Error(d.buckets.Load())
	}
}

func TestPendingChargesAreBounded(t *testing.T) {
	d := newPendingCharges(640, 1)
	hour := ratelimit.Rate{Count: 1, Period: time.Hour}
	for i := range 10_000 {
		d.add(start, start, &ratelimit.Limit{Bucket: numbered(i), Rate: hour}, 1)
	}
	if n := d.buckets.Load(); n != 640 {
		t.Error(n)
	}
	later := start.Add(5 * time.Hour)
	limit := ratelimit.Limit{Bucket: numbered(20_000), Rate: ratelimit.Rate{Count: 3000, Period: time.Hour}}
	d.add(later, later, &limit, 10_000)
	for _, want := range []int{ratelimit.MaxDeferred, ratelimit.MaxDeferred, ratelimit.MaxDeferred, ratelimit.MaxDeferred, ratelimit.MaxDeferred, ratelimit.MaxDeferred, 0} {
		if got := d.takeOne(later, &limit); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	// The longest and the shortest rate that are valid.
	for _, rate := range []ratelimit.Rate{{Count: 1, Period: 366 * 24 * time.Hour}, {Count: 999_999_999, Period: time.Second}, {Count: 999_999_999, Period: 366 * 24 * time.Hour}} {
		for _, replicas := range []int{1, maxReplicas} {
			d := newPendingCharges(1, replicas)
			limit := ratelimit.Limit{Bucket: numbered(1), Rate: rate}
			for range 3 {
				d.add(start, start, &limit, rate.Count)
			}
			if got, want := d.takeOne(start, &limit), min(2*max(rate.Count/replicas, 1), ratelimit.MaxDeferred); got != want {
				t.Errorf("%s, %d replicas: %d, want %d", rate, replicas, got, want)
			}
		}
	}
}

// storeScript makes calls come late, fail, or fail after they took effect.
type storeScript struct {
	ratelimit.Store
	bad     atomic.Bool
	down    atomic.Bool
	pending atomic.Int64
	mu      sync.Mutex
	r       *rand.Rand
}

func (w *storeScript) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.r.IntN(n)
}

// Take counts by its own clock, as Redis does.
func (w *storeScript) Take(ctx context.Context, _ time.Time, limits []ratelimit.Limit, results []ratelimit.Result) (int, error) {
	w.pending.Add(1)
	defer w.pending.Add(-1)
	if w.down.Load() {
		time.Sleep(time.Duration(w.draw(2)) * 100 * time.Millisecond)
		return ratelimit.NotRefused, errDown
	}
	kind, ms := 100, time.Millisecond
	if w.bad.Load() {
		kind = w.draw(100)
	}
	if kind == 0 { // the request is lost
		time.Sleep(200 * ms)
		return ratelimit.NotRefused, errDown
	}
	refused, err := w.Store.Take(ctx, time.Now(), limits, results)
	switch {
	case kind == 1: // the reply is lost
		time.Sleep(200 * ms)
		return ratelimit.NotRefused, errDown
	case kind < 10:
		time.Sleep(21*ms + time.Duration(w.draw(400))*ms)
	default:
		time.Sleep(ms)
	}
	return refused, err
}

// TestNeverMoreThanTheRate: once the store knows of all requests that the
// replicas allowed, no window that ends later has more of them than burst +
// rate × time, whatever happened to the calls. The clients ask more often than
// they may. After the store was unavailable for longer than a bucket takes to
// refill, pending charges decay until they are sent, for as long as a replica
// may not know that the store answers again.
func TestNeverMoreThanTheRate(t *testing.T) {
	const replicas = 4
	rate := ratelimit.Rate{Count: 200, Period: time.Second, Burst: 1000} // full after 5 s, longer than a replica has to decide alone
	limit := ratelimit.Limit{Name: "key", Bucket: numbered(1), Rate: rate}
	for seed := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			w := &storeScript{Store: newTestMemory(t, 1000, start), r: rand.New(rand.NewPCG(seed, 0))}
			var mu sync.Mutex
			var let []time.Time
			var all sync.WaitGroup
			end := make(chan struct{})
			var stores []*Store
			for i := range replicas {
				f, err := New(Config{Store: w, OnStoreFailure: FailLocal, Local: newTestMemory(t, 1000, start), Replicas: replicas})
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				stores = append(stores, f)
				for j := range 3 {
					r := rand.New(rand.NewPCG(seed, uint64(10*i+j+1)))
					all.Go(func() {
						for {
							select {
							case <-end:
								return
							case <-time.After(time.Duration(r.IntN(40_000)) * time.Microsecond):
							}
							now := time.Now()
							if refused, _ := ask(t, f, now, limit); refused == ratelimit.NotRefused {
								mu.Lock()
								let = append(let, now)
								mu.Unlock()
							}
						}
					})
				}
			}
			begun, slack := time.Now(), 1.0
			for round := range 12 {
				if unavailable := round%4 == 3; unavailable { // for all, and for longer than a refill
					w.down.Store(true)
					slack = defaultEvery.Seconds() * float64(rate.Count)
					time.Sleep(time.Duration(w.draw(15_000)) * time.Millisecond)
				} else {
					w.bad.Store(true)
					w.down.Store(round%4 == 1)
					time.Sleep(time.Duration(w.draw(3000)) * time.Millisecond)
				}
				w.bad.Store(false)
				w.down.Store(false)
				for ok := false; !ok; {
					time.Sleep(500*time.Millisecond + time.Duration(w.draw(5000))*time.Microsecond)
					ok = true
					for _, f := range stores {
						ok = ok && f.pending.buckets.Load() == 0 && w.pending.Load() == 0
					}
				}
				mu.Lock()
				now := time.Now()
				slices.SortFunc(let, time.Time.Compare)
				for i, from := range let {
					if n, bound := len(let)-i, float64(rate.Burst)+now.Sub(from).Seconds()*float64(rate.Count); float64(n) > bound+slack {
						t.Errorf("seed %d, round %d: %d allowed in the last %s, the rate allows %.1f", seed, round, n, now.Sub(from), bound)
						break
					}
				}
				mu.Unlock()
			}
			close(end)
			all.Wait()
			without := uint64(0)
			for _, f := range stores {
				without += f.Stats().LocalDecisions
			}
			bound := float64(rate.Burst) + time.Since(begun).Seconds()*float64(rate.Count)
			t.Logf("seed %d: %d allowed of %.0f, %d decided without the store", seed, len(let), bound, without)
			if float64(len(let)) < 0.9*bound {
				t.Errorf("seed %d: %d allowed, the rate allows %.0f", seed, len(let), bound)
			}
		})
	}
}
