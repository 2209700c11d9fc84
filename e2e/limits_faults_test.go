package e2e

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/latencyproxy"
)

// healsWithin is how long a store may seem unavailable after its recovery.
const healsWithin = 2 * time.Second

// fault is a way in which Redis fails and recovers.
type fault struct {
	name    string
	off, on func(*redis, *latencyproxy.Proxy) error
}

var faults = []fault{
	{"frozen", func(r *redis, _ *latencyproxy.Proxy) error { return r.Signal(syscall.SIGSTOP) }, func(r *redis, _ *latencyproxy.Proxy) error { return r.Signal(syscall.SIGCONT) }},
	{"killed", func(r *redis, _ *latencyproxy.Proxy) error { r.Kill(); return nil }, func(r *redis, _ *latencyproxy.Proxy) error { r.start(); return nil }},
	{"full", func(r *redis, _ *latencyproxy.Proxy) error { return r.set("maxmemory", "1") }, func(r *redis, _ *latencyproxy.Proxy) error { return r.set("maxmemory", "0") }},
	{"slow", func(_ *redis, l *latencyproxy.Proxy) error { l.Delay(100 * time.Millisecond); return nil }, func(_ *redis, l *latencyproxy.Proxy) error { l.Delay(0); return nil }},
}

// TestRedisGoesAndComesBack freezes, kills and restarts, fills and slows Redis
// while clients send requests. No client gets a response that is not configured
// or waits long, and Redis is used again soon. Envoy's timeout for Keyward is
// the shipped quarter of a second.
func TestRedisGoesAndComesBack(t *testing.T) {
	for _, line := range []struct {
		does   string
		status int // status of the requests that are not decided by the limit
		let    int // of 60 requests with a key for 10 a day
	}{
		{"local", 200, 10}, // each of two replicas counts its half
		{"allow", 200, 60},
		{"deny", 503, 0}, // Keyward's own, as configured
	} {
		t.Run(line.does, func(t *testing.T) { redisGoesAndComesBack(t, line.does, line.status, line.let) })
	}
}

func redisGoesAndComesBack(t *testing.T, does string, status, let int) {
	r := startRedis(t)
	link, err := latencyproxy.Open(stack.Address(r.port))
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	s := newSystem(t, options{shippedTimeout: true, config: fmt.Sprintf(
		"rate_limits: {store: redis://%s, on_store_failure: %s, replicas: 2, api_key: 1000000/s}\n", link.Address(), does)})
	busy := s.key("--name", "busy")
	var small []string
	for _, f := range faults {
		small = append(small, s.key("--name", f.name, "--rate", "10/d"))
	}
	admins := startTwo(t, s)
	s.until("allowed", func() (answer, bool) { a := s.get("/any", bearer(busy)); return a, a.status == 200 })
	load := s.startLoad(busy)
	time.Sleep(300 * time.Millisecond)
	before := checks(t, admins)
	for i, f := range faults {
		if err := f.off(r, link); err != nil {
			t.Fatal(err)
		}
		for _, port := range admins {
			waitForStore(t, port, 0, 5*time.Second)
		}
		if n := s.letIn(60, small[i], status); n != let {
			t.Errorf("%s: two replicas allowed %d requests of a key for 10 a day, want %d", f.name, n, let)
		}
		time.Sleep(500 * time.Millisecond)
		if err := f.on(r, link); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		for _, port := range admins {
			waitForStore(t, port, 1, healsWithin)
		}
		t.Logf("%s: used again by both after %s", f.name, time.Since(back).Round(10*time.Millisecond))
	}
	after := checks(t, admins)
	if all := after.all - before.all; after.quick-before.quick < 0.99*all {
		t.Errorf("of %.0f checks only %.0f took 25 ms at most", all, after.quick-before.quick)
	}
	statuses, took := load.stop()
	t.Logf("%.0f checks, of which %.0f took more than 25 ms; for the clients p99 %s, the slowest %s; %v", after.all-before.all,
		after.all-before.all-after.quick+before.quick, took[len(took)*99/100], took[len(took)-1], statuses)
	if statuses[200] < 50 || statuses[200]+statuses[status] < len(took) {
		t.Errorf("the clients got %v, want 200 and, while Redis is unavailable, %d", statuses, status)
	}
}

// letIn returns how many of the requests are allowed. The others must get 429,
// or the given status.
func (s *system) letIn(requests int, key string, status int) (n int) {
	s.t.Helper()
	for _, got := range s.statuses(requests, "/any", bearer(key)) {
		switch got {
		case 200:
			n++
		case 429, status:
		default:
			s.t.Errorf("a status of %d", got)
		}
	}
	return n
}

// checkTimes is the number of checks, and of those that took 25 ms at most.
type checkTimes struct{ all, quick float64 }

func checks(t *testing.T, admins [2]int) (sum checkTimes) {
	t.Helper()
	for _, port := range admins {
		page := metricsAt(t, port)
		sum.all += page.value(t, `keyward_check_duration_seconds_count{transport="grpc"}`)
		sum.quick += page.value(t, `keyward_check_duration_seconds_bucket{transport="grpc",le="0.025"}`)
	}
	return sum
}

// set changes a setting of the running server.
func (r *redis) set(name, value string) error {
	conn, err := net.DialTimeout("tcp", stack.Address(r.port), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "CONFIG SET %s %s\r\n", name, value); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "+OK\r\n" {
		err = fmt.Errorf("redis says %q", line)
	}
	return err
}

func waitForStore(t *testing.T, port int, want float64, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); metricAt(t, port, "keyward_rate_limit_store_up") != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("keyward_rate_limit_store_up is not %v after %s", want, within)
		}
	}
}

// load is a number of clients that send requests all the time, each some
// hundred per second.
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

// stop returns the number of responses by status, and their durations, sorted.
func (l *load) stop() (map[int]int, []time.Duration) {
	close(l.end)
	l.clients.Wait()
	slices.Sort(l.took)
	return l.statuses, l.took
}
