package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"keyward/e2e/stack"
	"keyward/internal/rawcheck"
)

// redis is a real one of the test's own.
type redis struct {
	t    *testing.T
	dir  string
	port int
	*stack.Process
}

func startRedis(t *testing.T) *redis {
	t.Helper()
	if programs.noRedis != nil {
		t.Skip(programs.noRedis)
	}
	r := &redis{t: t, dir: t.TempDir(), port: freePort(t)}
	r.start()
	t.Cleanup(func() { r.Kill() })
	return r
}

// start also starts again what was killed, at the same address.
func (r *redis) start() {
	r.t.Helper()
	p, err := stack.StartRedis(r.t.Context(), r.dir, programs.redis, r.port)
	if p != nil {
		r.Process = p
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// config is the store's part of rate_limits.
func (r *redis) config() string { return fmt.Sprintf("store: redis://%s", stack.Address(r.port)) }

// replica starts one more Keyward, with the same files.
func (s *system) replica(name string, ports stack.Ports) {
	s.t.Helper()
	text := s.configText(ports)
	p, err := stack.StartKeyward(s.t.Context(), name, stack.Config{
		Dir: s.dir, Keyward: programs.keyward, KeywardConfig: writeFile(s.t, s.dir, name+".yaml", text), Ports: ports,
	})
	if p != nil {
		s.t.Cleanup(func() {
			p.Kill()
			if s.t.Failed() {
				s.t.Logf("the log of %s:\n%s", name, tail(p.Log()))
			}
		})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// startTwo starts a system of two Keywards behind one Envoy, and returns the
// ports of their admin listeners.
func startTwo(t *testing.T, s *system) [2]int {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	s.opts.envoy = func(_ *testing.T, c *stack.EnvoyConfig) {
		group := c.Find("keyward")["load_assignment"].(object)["endpoints"].([]any)[0].(object)
		group["lb_endpoints"] = append(group["lb_endpoints"].([]any), object{
			"endpoint": object{"address": object{"socket_address": object{"address": "127.0.0.1", "port_value": ports.GRPC}}},
		})
	}
	s.replica("replica", ports)
	s.start()
	return [2]int{s.Ports().Admin, ports.Admin}
}

// TestTwoKeywardsShareACount has Envoy ask them in turn.
func TestTwoKeywardsShareACount(t *testing.T) {
	r := startRedis(t)
	s := newSystem(t, options{config: allSources + "rate_limits: {" + r.config() + ", timeout: 1s, replicas: 2, api_key: 10/h}\n"})
	key := s.key("--name", "k")
	admins := startTwo(t, s)
	s.lets(10, "together", "/any", bearer(key))
	overLimit(t, s.get("/any", bearer(key)), "api_key", "q=10;w=3600", 360)
	for i, port := range admins {
		if n := metricAt(t, port, `keyward_decisions_total{decision="allow",reason="ok",transport="grpc"}`); n == 0 {
			t.Errorf("Keyward %d has let nobody in", i+1)
		}
		if n := metricAt(t, port, "keyward_rate_limit_without_store_total"); n != 0 {
			t.Errorf("Keyward %d has counted %v requests by itself", i+1, n)
		}
		if status, text := adminAt(t, "GET", port, "/limits/"+s.idOf(key)); status != 200 || !strings.Contains(text, `"remaining":0,`) {
			t.Errorf("Keyward %d says %d %s", i+1, status, text)
		}
	}
	if status, text := adminAt(t, "DELETE", admins[1], "/limits/"+s.idOf(key)); status != 200 {
		t.Errorf("resetting: %d %s", status, text)
	}
	// The other one may hold for a second what Redis had said.
	s.until("let in again", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == 200 })
}

// healsWithin is how long a store may seem away after it is back.
const healsWithin = 2 * time.Second

// TestRedisGoesAndComesBack kills it, freezes it and starts it again while
// clients ask: none gets a 5xx, and it is asked again soon. Envoy gives Keyward
// the quarter of a second that is shipped.
func TestRedisGoesAndComesBack(t *testing.T) {
	r := startRedis(t)
	s := newSystem(t, options{shippedTimeout: true, config: "rate_limits: {" + r.config() + ", replicas: 2, api_key: 1000000/s}\n"})
	busy := s.key("--name", "busy")
	small := []string{s.key("--name", "one", "--rate", "10/d"), s.key("--name", "two", "--rate", "10/d")}
	admins := startTwo(t, s)
	s.until("let in", func() (answer, bool) { a := s.get("/any", bearer(busy)); return a, a.status == 200 })

	load := s.startLoad(busy)
	time.Sleep(300 * time.Millisecond)
	for i, fault := range []struct {
		name    string
		off, on func() error
	}{
		{"frozen", func() error { return r.Signal(syscall.SIGSTOP) }, func() error { return r.Signal(syscall.SIGCONT) }},
		{"killed", func() error { r.Kill(); return nil }, func() error { r.start(); return nil }},
	} {
		if err := fault.off(); err != nil {
			t.Fatal(err)
		}
		for _, port := range admins {
			waitForAway(t, port, 1, 5*time.Second)
		}
		// Each counts its half by itself.
		let := 0
		for _, status := range s.statuses(60, "/any", bearer(small[i])) {
			if status == 200 {
				let++
			}
		}
		if let != 10 {
			t.Errorf("%s: of 10 a day, %d were let in by two replicas", fault.name, let)
		}
		if err := fault.on(); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		for _, port := range admins {
			waitForAway(t, port, 0, healsWithin)
		}
		t.Logf("%s: asked again by both after %s", fault.name, time.Since(back).Round(10*time.Millisecond))
	}
	statuses, slowest := load.stop()
	if len(statuses) != 1 || statuses[200] < 200 {
		t.Errorf("the clients got %v", statuses)
	}
	t.Logf("%v, p99 %s, the slowest %s", statuses, slowest[len(slowest)*99/100], slowest[len(slowest)-1])
}

func waitForAway(t *testing.T, port int, want float64, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); metricAt(t, port, "keyward_rate_limit_store_away") != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("keyward_rate_limit_store_away is not %v after %s", want, within)
		}
	}
}

// load is clients that ask all the time, each some hundred times a second.
type load struct {
	end     chan struct{}
	clients sync.WaitGroup

	mu       sync.Mutex
	statuses map[int]int
	took     []time.Duration
}

func (s *system) startLoad(key string) *load {
	s.t.Helper()
	l := &load{end: make(chan struct{}), statuses: map[int]int{}}
	requests := newManyRequests(s.t, s.URL()+"/any", nil)
	for range 4 {
		l.clients.Go(func() {
			tick := time.NewTicker(4 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-l.end:
					return
				case <-tick.C:
				}
				asked := time.Now()
				a := requests.get(s.t, key)
				l.mu.Lock()
				l.statuses[a.status]++
				l.took = append(l.took, time.Since(asked))
				l.mu.Unlock()
			}
		})
	}
	return l
}

// stop returns how many answers there were of each status, and how long they took, sorted.
func (l *load) stop() (map[int]int, []time.Duration) {
	close(l.end)
	l.clients.Wait()
	slices.Sort(l.took)
	return l.statuses, l.took
}

// TestFourKeywardsLetInWhatTheRateSays has four processes asked about ten keys,
// more often than each of these may ask: 6000 a minute and 600 at once, for eight seconds.
func TestFourKeywardsLetInWhatTheRateSays(t *testing.T) {
	const processes, keys, burst, perSecond, lasts = 4, 10, 600, 100, 8 * time.Second
	r := startRedis(t)
	// A time-out that a busy machine does not reach: then each would count by itself.
	s := newSystem(t, options{config: fmt.Sprintf("rate_limits: {%s, timeout: 1s, replicas: %d, api_key: {rate: 6000/m, burst: %d}}\nlog: {decisions: none}\n",
		r.config(), processes, burst)})
	var requests []rawcheck.Request
	for i := range keys {
		requests = append(requests, rawcheck.Request{Method: "GET", Target: "/any", Headers: [][2]string{
			{"authorization", "Bearer " + s.key("--name", fmt.Sprint("k", i))}}})
	}
	var admins []int
	var conns []*grpc.ClientConn
	for i := range processes {
		ports, err := stack.FreePorts()
		if err != nil {
			t.Fatal(err)
		}
		s.replica(fmt.Sprint("keyward-", i), ports)
		conn, err := grpc.NewClient(stack.Address(ports.GRPC), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		admins, conns = append(admins, ports.Admin), append(conns, conn)
	}
	var all sync.WaitGroup
	results := make([]asked, keys)
	for i := range results {
		all.Go(func() { results[i] = askInTurn(t, conns, requests[i], lasts) })
	}
	all.Wait()
	for i, got := range results {
		allows := burst + perSecond*got.took.Seconds()
		if got.allowed+got.refused < int(allows*1.2) {
			t.Errorf("key %d was used %d times only, in %s", i, got.allowed+got.refused, got.took)
		}
		if off := (float64(got.allowed) - allows) / allows; off > 0.01 || off < -0.01 {
			t.Errorf("key %d: %d of %d requests in %s were let in, the rate allows %.0f: %.2f %% off", i, got.allowed, got.allowed+got.refused, got.took, allows, 100*off)
		}
		t.Logf("key %d: %+v, the rate allows %.1f", i, got, allows)
	}
	for i, port := range admins {
		if n := metricAt(t, port, "keyward_rate_limit_without_store_total"); n != 0 {
			t.Errorf("Keyward %d has counted %v requests by itself", i, n)
		}
		if n := metricAt(t, port, `keyward_decisions_total{decision="allow",reason="ok",transport="grpc"}`); n < burst {
			t.Errorf("Keyward %d has let in %v", i, n)
		}
	}
}

// asked is what came of one key's requests.
type asked struct {
	allowed, refused int
	took             time.Duration // from before the first to after the last
}

// askInTurn asks each server in turn, with a few requests at a time.
func askInTurn(t *testing.T, conns []*grpc.ClientConn, r rawcheck.Request, lasts time.Duration) (total asked) {
	var mu sync.Mutex
	var all sync.WaitGroup
	begun := time.Now()
	for i := range conns {
		all.Go(func() {
			tick := time.NewTicker(14 * time.Millisecond)
			defer tick.Stop()
			for n := i; time.Since(begun) < lasts; n++ {
				a, err := rawcheck.Ask(t.Context(), conns[n%len(conns)], r)
				mu.Lock()
				switch {
				case err != nil:
					t.Error(err)
				case a.Status == 200:
					total.allowed++
				case a.Status == 429:
					total.refused++
				default:
					t.Errorf("%s", a)
				}
				mu.Unlock()
				if a.Status != 200 {
					<-tick.C
				}
			}
		})
	}
	all.Wait()
	total.took = time.Since(begun)
	return total
}
