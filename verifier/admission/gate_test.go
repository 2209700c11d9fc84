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

// at is a client of that address, in its /16.
func at(text string) Client {
	addr := netip.MustParseAddr(text)
	address, _ := addr.Prefix(32)
	network, _ := addr.Prefix(16)
	return Client{address, network}
}

// gateTest drives a gate by synctest's clock: work takes as long as it sleeps.
type gateTest struct {
	*Gate
	t      *testing.T
	worked atomic.Int64 // nanoseconds, of work that failed
	most   atomic.Int64 // most at a time
	now    atomic.Int64
}

func newGateTest(t *testing.T, cfg Config) *gateTest { return &gateTest{Gate: New(cfg), t: t} }

// verify takes a slot for as long as the work takes.
func (g *gateTest) verify(ctx context.Context, c Client, work time.Duration, good bool) error {
	return g.Do(ctx, c, func() bool {
		if n := g.now.Add(1); n > g.most.Load() {
			g.most.Store(n)
		}
		defer g.now.Add(-1)
		time.Sleep(work)
		if !good {
			g.worked.Add(int64(work))
		}
		return good
	})
}

const costly = 3 * time.Millisecond // an ES512 signature

// flood sends forged tokens, as many a second, from those clients in turn.
func (g *gateTest) flood(ctx context.Context, rate int, clients []Client) {
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
		clients[i] = at(fmt.Sprintf(format, i/250, i%250))
	}
	return clients
}

// TestForgedTokensAreBounded: whatever comes, one is verified at a time, and what
// fails keeps half a processor busy and no more; a client that has not failed
// goes before all that did, and one whose tokens are good is not held up by the budget.
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
				g := newGateTest(t, Config{Slots: 1, FailedWork: 0.5})
				regular := at("203.0.113.9")
				if err := g.verify(t.Context(), regular, costly, true); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
				defer cancel()
				var flood sync.WaitGroup
				flood.Go(func() { g.flood(ctx, 600, clients) })
				time.Sleep(10 * time.Second) // each has failed by then
				before, start := g.worked.Load(), time.Now()
				for i := range 200 {
					time.Sleep(100 * time.Millisecond)
					newcomer := at(fmt.Sprintf("203.0.114.%d", i))
					if err := g.verify(t.Context(), newcomer, costly, true); err != nil {
						t.Errorf("a good token of an address that nothing is known of: %v", err)
					}
					if err := g.verify(t.Context(), regular, costly, true); err != nil {
						t.Errorf("a good token of an address that had one: %v", err)
					}
				}
				most := time.Since(start) / 2
				if len(clients) == 1 && clients[0] != (Client{}) { // a quarter of it
					most /= 4
				}
				if busy := time.Duration(g.worked.Load() - before); busy > most+costly {
					t.Errorf("%s of %s went into forged tokens", busy, time.Since(start))
				}
				if g.most.Load() != 1 {
					t.Errorf("%d at a time", g.most.Load())
				}
				cancel()
				flood.Wait()
			})
		})
	}
}

// TestNewcomersBesideAFlood: single clients get in from the same network as a
// thousand that forge tokens, all but some of those that come in its first two seconds, before
// anything is known of the others.
func TestNewcomersBesideAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, Config{Slots: 1, FailedWork: 0.25})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var flood sync.WaitGroup
		flood.Go(func() { g.flood(ctx, 600, spread(1000, "198.18.%d.%d")) })
		start, early, in, all := time.Now(), 0, 0, 0
		for ; ctx.Err() == nil; all++ {
			newcomer := at(fmt.Sprintf("198.18.%d.%d", 100+all/250, all%250))
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
			t.Errorf("%d of %d got in, %d of them not, early", in, all, early)
		}
		flood.Wait()
	})
}

// TestBudgetIsPaidOff: after a flood the client is as any other, and soon.
func TestBudgetIsPaidOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, Config{Slots: 1, FailedWork: 0.5})
		c := at("198.18.0.1")
		var err error
		for n := 0; err == nil; n++ {
			if err = g.verify(t.Context(), c, costly, false); n == 1000 {
				t.Fatal("no end to its failures")
			}
		}
		if !errors.Is(err, ErrExhausted) {
			t.Error(err)
		}
		if got := g.Stats(); got != (Stats{Refused: 1}) {
			t.Errorf("%+v", got)
		}
		if err := g.verify(t.Context(), at("198.18.0.2"), costly, true); err != nil {
			t.Errorf("its neighbour: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
		if err := g.verify(t.Context(), c, costly, true); err != nil {
			t.Errorf("a while later: %v", err)
		}
	})
}

// TestOrder: familiar clients go first, then those that nothing is known of, then by what they failed;
// a burst of one client stands behind single requests of others.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, Config{Slots: 1, FailedWork: 0.5})
		clients := map[string]Client{
			"familiar": at("192.0.2.1"), "unknown": at("198.51.100.1"), "burst": at("203.0.113.1"), "failed": at("100.64.0.1"), "neighbour": at("100.64.0.2"),
		}
		_ = g.verify(t.Context(), clients["familiar"], 0, true)
		_ = g.verify(t.Context(), clients["failed"], 20*time.Millisecond, false)
		var mu sync.Mutex
		var order []string
		ask := func(name string) {
			go func() {
				err := g.Do(t.Context(), clients[name], func() bool {
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
		go func() { _ = g.verify(t.Context(), at("10.0.0.1"), 100*time.Millisecond, true) }()
		synctest.Wait()
		for _, name := range []string{"failed", "neighbour", "burst", "burst", "burst", "unknown", "familiar"} {
			ask(name)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		want := "[familiar burst unknown burst neighbour burst failed]"
		if got := fmt.Sprint(order); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// TestWaits: a caller is answered before its deadline, and what it left is not done.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, Config{Slots: 1})
		go func() { _ = g.verify(context.Background(), at("10.0.0.1"), time.Hour, true) }()
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
			{func() context.Context { return deadline(time.Minute) }, 2 * time.Second},
			{func() context.Context { return deadline(time.Millisecond) }, 0},
			{func() context.Context { return cancelled }, 0},
		} {
			start := time.Now()
			if err := g.verify(c.ctx(), at("10.0.0.2"), 0, true); err != ErrBusy || time.Since(start) != c.want {
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

// TestRoom: where too many wait the last in line is pushed out, at once.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, Config{Slots: 1, QueueSize: 2})
		_ = g.verify(t.Context(), at("10.0.0.9"), costly, false)
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
		ask("running", at("10.0.0.1"))
		ask("failed", at("10.0.0.9"))
		ask("first", at("10.0.0.2"))
		ask("second", at("10.0.0.3"))
		mu.Lock()
		if err, known := results["failed"]; !known || err != ErrBusy {
			t.Errorf("the one that had failed: %v", results)
		}
		mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if results["first"] != nil || results["running"] != nil || len(results) != 4 {
			t.Errorf("%v", results)
		}
	})
}

// TestUnknownClientsDoNotLockOutEachOther: what one client without an address
// has failed with is not held against the others, which share nothing but that.
func TestUnknownClientsDoNotLockOutEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, Config{Slots: 1, FailedWork: 0.5})
		known := at("192.0.2.1")
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

// TestPanicIsAFailure: the slot comes back, and the client is charged.
func TestPanicIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, Config{Slots: 1})
		c := at("10.0.0.1")
		func() {
			defer func() { _ = recover() }()
			_ = g.Do(t.Context(), c, func() bool { time.Sleep(costly); panic("in a verification") })
		}()
		if got := g.Stats(); got.InFlight != 0 {
			t.Errorf("%+v", got)
		}
		if s := g.clients.standing(c, g.Gate.now()); s.owes == 0 || s.suspicion == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestLedgerIsBounded: a client of each address there is does not fill the memory.
func TestLedgerIsBounded(t *testing.T) {
	var l ledger
	for i := range 3*maxAccounts + 1 {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		l.failed(Client{Address: netip.PrefixFrom(addr, 32)}, 0, costly, 8)
		if n := len(l.recent) + len(l.older); n > 2*maxAccounts {
			t.Fatalf("%d accounts", n)
		}
	}
}

// TestDebtIsBounded: it is paid off within ten minutes, whatever was charged.
func TestDebtIsBounded(t *testing.T) {
	var d debt
	for range 100 {
		d.add(time.Hour, time.Second, addressPrice)
	}
	if left := d.left(time.Hour); left != longestMemory {
		t.Error(left)
	}
	if left := d.left(time.Hour + longestMemory); left != 0 {
		t.Error(left)
	}
}

func BenchmarkGate(b *testing.B) {
	g, c := New(Config{}), at("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		_ = g.Do(context.Background(), c, func() bool { return true })
	}
}
