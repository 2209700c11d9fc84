package admission

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// clientAt returns the client at an address, in its /16.
func clientAt(text string) Client {
	addr := netip.MustParseAddr(text)
	address, _ := addr.Prefix(32)
	network, _ := addr.Prefix(16)
	return Client{address, network}
}

// gateFixture drives a gate by the clock of synctest: work takes as long as it
// sleeps.
type gateFixture struct {
	*Gate
	t          *testing.T
	failedWork atomic.Int64 // failed work, in nanoseconds
	peak       atomic.Int64 // highest number at a time
	active     atomic.Int64
}

func newGateFixture(t *testing.T, cfg Config) *gateFixture { return &gateFixture{Gate: New(cfg), t: t} }

// verify sleeps as long as the work takes.
func (g *gateFixture) verify(ctx context.Context, c Client, work time.Duration, good bool) error {
	return g.Do(ctx, c, 1, func() bool {
		if n := g.active.Add(1); n > g.peak.Load() {
			g.peak.Store(n)
		}
		defer g.active.Add(-1)
		time.Sleep(work)
		if !good {
			g.failedWork.Add(int64(work))
		}
		return good
	})
}

const costly = 3 * time.Millisecond // an ES512 signature

// flood sends forged tokens from the clients in turn, at a rate per second.
func (g *gateFixture) flood(ctx context.Context, rate int, clients []Client) {
	var sent sync.WaitGroup
	defer sent.Wait()
	for n := 0; ctx.Err() == nil; n++ {
		c := clients[n%len(clients)]
		sent.Go(func() { _ = g.verify(context.Background(), c, costly, false) })
		time.Sleep(time.Second / time.Duration(rate))
	}
}

func spread(n int, format string) []Client {
	clients := make([]Client, n)
	for i := range clients {
		clients[i] = clientAt(fmt.Sprintf(format, i/250, i%250))
	}
	return clients
}

// TestForgedTokensAreBounded checks that one token at a time is verified, and
// that failures keep half a processor busy at most. A client without failures
// goes before those with failures, and the budget does not delay a client whose
// tokens are valid.
func TestForgedTokensAreBounded(t *testing.T) {
	attacks := map[string][]Client{
		"one address":                      spread(1, "198.18.%d.%d"),
		"1,000 addresses of one network":   spread(1000, "198.18.%d.%d"),
		"1,000 addresses in many networks": spread(1000, "100.%d.%d.1"),
		"unknown addresses":                {{}},
	}
	for name, clients := range attacks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateFixture(t, Config{Slots: 1, FailedWork: 0.5})
				trusted := clientAt("203.0.113.9")
				if err := g.verify(t.Context(), trusted, costly, true); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
				defer cancel()
				var flood sync.WaitGroup
				flood.Go(func() { g.flood(ctx, 600, clients) })
				time.Sleep(10 * time.Second) // until each client has failed
				before, start := g.failedWork.Load(), time.Now()
				for i := range 200 {
					time.Sleep(100 * time.Millisecond)
					newcomer := clientAt(fmt.Sprintf("203.0.114.%d", i))
					if err := g.verify(t.Context(), newcomer, costly, true); err != nil {
						t.Errorf("a good token of an unknown address: %v", err)
					}
					if err := g.verify(t.Context(), trusted, costly, true); err != nil {
						t.Errorf("a good token of a trusted address: %v", err)
					}
				}
				limit := time.Since(start) / 2
				if len(clients) == 1 && clients[0] != (Client{}) { // one client gets a quarter
					limit /= 4
				}
				if busy := time.Duration(g.failedWork.Load() - before); busy > limit+costly {
					t.Errorf("%s of %s were spent on forged tokens", busy, time.Since(start))
				}
				if g.peak.Load() != 1 {
					t.Errorf("%d at a time", g.peak.Load())
				}
				cancel()
				flood.Wait()
			})
		})
	}
}

// TestNewcomersDuringAFlood checks that single clients are admitted from the
// network of a thousand that forge tokens. Some may fail in the first seconds,
// before the others are known.
func TestNewcomersDuringAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateFixture(t, Config{Slots: 1, FailedWork: 0.25})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var flood sync.WaitGroup
		flood.Go(func() { g.flood(ctx, 600, spread(1000, "198.18.%d.%d")) })
		start, early, in, all := time.Now(), 0, 0, 0
		for ; ctx.Err() == nil; all++ {
			newcomer := clientAt(fmt.Sprintf("198.18.%d.%d", 100+all/250, all%250))
			if err := g.verify(t.Context(), newcomer, costly, true); err == nil {
				in++
			} else if time.Since(start) > 3*time.Second {
				t.Errorf("after %s: %v", time.Since(start), err)
			} else {
				early++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if in < all*9/10 {
			t.Errorf("%d of %d were admitted, %d early ones were not", in, all, early)
		}
		flood.Wait()
	})
}

// TestBudgetRefills checks that soon after a flood its client is treated like
// any other.
func TestBudgetRefills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateFixture(t, Config{Slots: 1, FailedWork: 0.5})
		c := clientAt("198.18.0.1")
		var err error
		for n := 0; err == nil; n++ {
			if err = g.verify(t.Context(), c, costly, false); n == 1000 {
				t.Fatal("its failures are not bounded")
			}
		}
		if !errors.Is(err, ErrExhausted) {
			t.Error(err)
		}
		if got := g.Stats(); got != (Stats{Refused: 1}) {
			t.Errorf("%+v", got)
		}
		if err := g.verify(t.Context(), clientAt("198.18.0.2"), costly, true); err != nil {
			t.Errorf("its neighbour: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
		if err := g.verify(t.Context(), c, costly, true); err != nil {
			t.Errorf("a while later: %v", err)
		}
	})
}

// TestOrder checks that trusted clients go first, then unknown ones, then the
// others by their failures, and that a burst of one client goes behind single
// requests of others.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateFixture(t, Config{Slots: 1, FailedWork: 0.5})
		clients := map[string]Client{
			"trusted": clientAt("192.0.2.1"), "unknown": clientAt("198.51.100.1"), "burst": clientAt("203.0.113.1"), "failed": clientAt("100.64.0.1"), "neighbour": clientAt("100.64.0.2"),
		}
		_ = g.verify(t.Context(), clients["trusted"], 0, true)
		_ = g.verify(t.Context(), clients["failed"], 20*time.Millisecond, false)
		var mu sync.Mutex
		var order []string
		ask := func(name string) {
			go func() {
				err := g.Do(t.Context(), clients[name], 1, func() bool {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, name)
					return true
				})
				if err != nil {
					t.Error(name, err)
				}
			}()
			synctest.Wait()
		}
		go func() { _ = g.verify(t.Context(), clientAt("10.0.0.1"), 100*time.Millisecond, true) }()
		synctest.Wait()
		for _, name := range []string{"failed", "neighbour", "burst", "burst", "burst", "unknown", "trusted"} {
			ask(name)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		want := "[trusted burst unknown burst neighbour burst failed]"
		if got := fmt.Sprint(order); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// TestQueueTimeout checks that a caller is answered before its deadline, and
// that its work is not done later.
func TestQueueTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateFixture(t, Config{Slots: 1})
		go func() { _ = g.verify(context.Background(), clientAt("10.0.0.1"), time.Hour, true) }()
		synctest.Wait()
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		deadline := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		for _, c := range []struct {
			ctx  func() context.Context
			want time.Duration
		}{
			{t.Context, 200 * time.Millisecond},
			{func() context.Context { return deadline(250 * time.Millisecond) }, 230 * time.Millisecond},
			{func() context.Context { return deadline(time.Minute) }, 900 * time.Millisecond},
			{func() context.Context { return deadline(time.Millisecond) }, 0},
			{func() context.Context { return cancelled }, 0},
		} {
			start := time.Now()
			if err := g.verify(c.ctx(), clientAt("10.0.0.2"), 0, true); err != ErrBusy || time.Since(start) != c.want {
				t.Errorf("%v after %s, want %s", err, time.Since(start), c.want)
			}
		}
		if len(g.waiting) != 0 {
			t.Errorf("%d still wait", len(g.waiting))
		}
		if got := g.Stats(); got != (Stats{InFlight: 1, Refused: 5}) {
			t.Errorf("%+v", got)
		}
		time.Sleep(2 * time.Hour)
	})
}

// TestQueueSize checks that a full queue drops the last waiter at once.
func TestQueueSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateFixture(t, Config{Slots: 1, QueueSize: 2})
		_ = g.verify(t.Context(), clientAt("10.0.0.9"), costly, false)
		results := map[string]error{}
		var mu sync.Mutex
		ask := func(name string, c Client) {
			go func() {
				err := g.verify(context.Background(), c, 100*time.Millisecond, true)
				mu.Lock()
				defer mu.Unlock()
				results[name] = err
			}()
			synctest.Wait()
		}
		ask("running", clientAt("10.0.0.1"))
		ask("failed", clientAt("10.0.0.9"))
		ask("first", clientAt("10.0.0.2"))
		ask("second", clientAt("10.0.0.3"))
		mu.Lock()
		if err, known := results["failed"]; !known || err != ErrBusy {
			t.Errorf("the client that had failed: %v", results)
		}
		mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if results["first"] != nil || results["running"] != nil || len(results) != 4 {
			t.Errorf("%v", results)
		}
	})
}

// TestUnknownClientsDoNotLockOutEachOther checks that the failures of one
// client without an address do not block others without an address.
func TestUnknownClientsDoNotLockOutEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateFixture(t, Config{Slots: 1, FailedWork: 0.5})
		known := clientAt("192.0.2.1")
		for range 150 { // more than a client's burst, less than that of all
			_ = g.verify(t.Context(), Client{}, costly, false)
			_ = g.verify(t.Context(), known, costly, false)
		}
		if err := g.verify(t.Context(), known, costly, true); !errors.Is(err, ErrExhausted) {
			t.Errorf("the client that failed: %v", err)
		}
		if err := g.verify(t.Context(), Client{}, costly, true); err != nil {
			t.Errorf("a good token of another client without an address: %v", err)
		}
	})
}

// TestPanicIsAFailure checks that a panic frees the slot and is charged to the
// client.
func TestPanicIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateFixture(t, Config{Slots: 1})
		c := clientAt("10.0.0.1")
		func() {
			defer func() { _ = recover() }()
			_ = g.Do(t.Context(), c, 1, func() bool { time.Sleep(costly); panic("in a verification") })
		}()
		if got := g.Stats(); got.InFlight != 0 {
			t.Errorf("%+v", got)
		}
		if s := g.clients.standing(c, g.Gate.now()); s.budgetBacklog == 0 || s.penalty == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestHistoryIsBounded checks that memory is bounded for any number of
// addresses.
func TestHistoryIsBounded(t *testing.T) {
	var l history
	for i := range 3*maxRecords + 1 {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		l.failed(Client{Address: netip.PrefixFrom(addr, 32)}, 0, costly, 8)
		if n := len(l.recent) + len(l.older); n > 2*maxRecords {
			t.Fatalf("%d accounts", n)
		}
	}
}

// TestBacklogIsBounded checks that every backlog is paid off within ten
// minutes.
func TestBacklogIsBounded(t *testing.T) {
	var d tat
	for range 100 {
		d.charge(time.Hour, time.Second, addressPrice)
	}
	if left := d.backlog(time.Hour); left != maxBacklog {
		t.Error(left)
	}
	if left := d.backlog(time.Hour + maxBacklog); left != 0 {
		t.Error(left)
	}
}

func BenchmarkGate(b *testing.B) {
	g, c := New(Config{}), clientAt("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		_ = g.Do(context.Background(), c, 1, func() bool { return true })
	}
}

// TestEachSignatureIsCharged: work that may verify several signatures may be
// charged as much as that many.
func TestEachSignatureIsCharged(t *testing.T) {
	for signatures, want := range map[int]error{1: nil, 4: ErrExhausted} {
		synctest.Test(t, func(t *testing.T) {
			g := New(Config{Slots: 1, FailedWork: 0.1}) // a client that causes 50 ms of failed work is over its budget
			c := clientAt("192.0.2.1")
			slow := func() bool { time.Sleep(4 * maxCharge); return false }
			if err := g.Do(t.Context(), c, signatures, slow); err != nil {
				t.Fatal(err)
			}
			if err := g.Do(t.Context(), c, 1, func() bool { return true }); !errors.Is(err, want) {
				t.Errorf("%d signatures: %v, want %v", signatures, err, want)
			}
		})
	}
}
