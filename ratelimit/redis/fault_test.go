package redis

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/latencyproxy"
	"keyward/ratelimit"
	"keyward/ratelimit/failover"
)

// loadFixture sends requests to a failover.Store without a pause, as concurrent
// clients of a proxy do.
type loadFixture struct {
	f    *failover.Store
	stop chan struct{}
	once sync.Once
	all  sync.WaitGroup

	mu       sync.Mutex
	took     []time.Duration
	admitted int
	err      error
}

var loaded = limit(numbered(1, 1), ratelimit.Rate{Count: 100, Period: time.Second})

func startLoad(t *testing.T, url string, when failover.OnStoreFailure) *loadFixture {
	t.Helper()
	local, err := ratelimit.NewMemory(ratelimit.MemoryConfig{Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := failover.New(failover.Config{Store: openStore(t, url, 0), OnStoreFailure: when, Local: local, Replicas: 2})
	if err != nil {
		t.Fatal(err)
	}
	l := &loadFixture{f: f, stop: make(chan struct{})}
	for i := range 4 {
		l.all.Go(func() { l.ask(t, i) })
	}
	t.Cleanup(l.close)
	return l
}

// close ends the load. It may be called more than once.
func (l *loadFixture) close() {
	l.once.Do(func() { close(l.stop) })
	l.all.Wait()
	_ = l.f.Close()
}

// ask uses an exhausted bucket and one that is not, so that some requests are
// not refused by the cached denials.
func (l *loadFixture) ask(t *testing.T, i int) {
	limits := [][]ratelimit.Limit{{loaded}, {limit(numbered(2, i), ratelimit.Rate{Count: 1_000_000, Period: time.Second})}}
	results := make([]ratelimit.Result, 1)
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-time.After(2 * time.Millisecond):
		}
		before := time.Now()
		refused, err := l.f.Take(t.Context(), before, limits[n%2], results)
		took := time.Since(before)
		l.mu.Lock()
		l.took = append(l.took, took)
		if n%2 == 0 && err == nil && refused == ratelimit.NotRefused {
			l.admitted++
		}
		if err != nil {
			l.err = err
		}
		l.mu.Unlock()
	}
}

// limitOfP99 is the maximum for 99 % of the requests, whatever the store does.
const limitOfP99 = 25 * time.Millisecond

// phase returns the latencies, the number of admitted requests and the last
// error of the next d.
func (l *loadFixture) phase(d time.Duration) (p99, longest time.Duration, admitted int, err error) {
	l.mu.Lock()
	l.took, l.admitted, l.err = nil, 0, nil
	l.mu.Unlock()
	time.Sleep(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.took)
	if len(l.took) == 0 {
		return 0, 0, 0, fmt.Errorf("no request was made")
	}
	return l.took[len(l.took)*99/100], l.took[len(l.took)-1], l.admitted, l.err
}

// fault is one way in which a store fails and recovers.
type fault struct {
	name   string
	begin  func(*server, *latencyproxy.Proxy)
	finish func(*server, *latencyproxy.Proxy)
}

var faults = []fault{
	{"killed", func(s *server, _ *latencyproxy.Proxy) { s.kill() }, func(s *server, _ *latencyproxy.Proxy) { s.start() }},
	{"frozen", func(s *server, _ *latencyproxy.Proxy) { s.signal(syscall.SIGSTOP) }, func(s *server, _ *latencyproxy.Proxy) { s.signal(syscall.SIGCONT) }},
	{"slow", func(_ *server, p *latencyproxy.Proxy) { p.Delay(100 * time.Millisecond) }, func(_ *server, p *latencyproxy.Proxy) { p.Delay(0) }},
	{"full", func(s *server, _ *latencyproxy.Proxy) { s.must("CONFIG SET maxmemory 1") }, func(s *server, _ *latencyproxy.Proxy) { s.must("CONFIG SET maxmemory 0") }},
	{"read only", func(s *server, _ *latencyproxy.Proxy) { s.must("REPLICAOF 127.0.0.1 1") }, func(s *server, _ *latencyproxy.Proxy) { s.must("REPLICAOF NO ONE") }},
}

// TestFaults: whatever happens to Redis under load, no request waits long or
// gets an error, the replica keeps to its share, and the store is used again
// within two seconds of its recovery.
func TestFaults(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			onTime(t, func() error { return fault.run(t) })
		})
	}
}

func (f *fault) run(t *testing.T) error {
	at := startServer(t)
	through := at.openLink()
	l := startLoad(t, "redis://"+through.Address(), failover.FailLocal)
	defer l.close()
	if _, _, admitted, err := l.phase(time.Second); err != nil || admitted < 90 || l.f.Stats().Unavailable {
		return fmt.Errorf("before: %d admitted, %v, %+v", admitted, err, l.f.Stats())
	}
	before := l.f.Stats().Failures
	f.begin(at, through)
	p99, longest, admitted, err := l.phase(2 * time.Second)
	stats := l.f.Stats()
	t.Logf("p99 %s, longest %s, %d admitted of a share of 50/s, %d requests got no reply", p99, longest, admitted, stats.Failures-before)
	if err != nil || p99 > limitOfP99 || !stats.Unavailable || stats.Failures-before > 15 || admitted < 90 || admitted > 110 {
		return fmt.Errorf("during: %v, %+v", err, stats)
	}
	f.finish(at, through)
	for end := time.Now().Add(2 * time.Second); l.f.Stats().Unavailable; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("did not recover within 2 s")
		}
	}
	if _, _, _, err := l.phase(500 * time.Millisecond); err != nil || l.f.Stats().Unavailable {
		return fmt.Errorf("after: %v, %+v", err, l.f.Stats())
	}
	return nil
}

// TestBusyProcess: a client that keeps the process busy, for example with junk
// signatures, does not make FailOpen admit what a healthy Redis would refuse.
func TestBusyProcess(t *testing.T) {
	onTime(t, func() error { return busyProcess(t) })
}

func busyProcess(t *testing.T) error {
	f, err := failover.New(failover.Config{Store: openStore(t, startServer(t).url(), 0), OnStoreFailure: failover.FailOpen})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	one := limit(numbered(1, 1), ratelimit.Rate{Count: 10, Period: 24 * time.Hour})
	if _, err := f.Take(t.Context(), time.Now(), []ratelimit.Limit{one}, make([]ratelimit.Result, 1)); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 20 * runtime.GOMAXPROCS(0) {
		all.Go(func() { keepBusy(stop) })
	}
	var admitted, refused, unanswered atomic.Int64
	for range 24 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				which, err := f.Take(t.Context(), time.Now(), []ratelimit.Limit{one}, make([]ratelimit.Result, 1))
				switch {
				case err != nil:
					unanswered.Add(1)
				case which == ratelimit.NotRefused:
					admitted.Add(1)
				default:
					refused.Add(1)
				}
			}
		})
	}
	time.Sleep(3 * time.Second)
	close(stop)
	all.Wait()
	t.Logf("%d admitted, %d refused, %d unanswered, %+v", admitted.Load(), refused.Load(), unanswered.Load(), f.Stats())
	if admitted.Load() > 9 {
		return fmt.Errorf("%d admitted, want nine", admitted.Load())
	}
	return nil
}

// keepBusy uses a processor for three milliseconds at a time, as the
// verification of a signature does.
func keepBusy(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		for end := time.Now().Add(3 * time.Millisecond); time.Now().Before(end); {
		}
		runtime.Gosched()
	}
}

// TestNotThereAtStart: a Redis that starts later is found.
func TestNotThereAtStart(t *testing.T) {
	onTime(t, func() error {
		at := startServer(t)
		at.kill()
		l := startLoad(t, at.url(), failover.FailClosed)
		defer l.close()
		if _, _, admitted, err := l.phase(300 * time.Millisecond); err == nil || admitted > 0 {
			return fmt.Errorf("%d admitted without Redis, %v", admitted, err)
		}
		at.start()
		for end := time.Now().Add(2 * time.Second); ; {
			switch _, _, admitted, err := l.phase(500 * time.Millisecond); {
			case err == nil && admitted > 0:
				return nil
			case time.Now().After(end):
				return fmt.Errorf("not found within 2 s: %d admitted, %v", admitted, err)
			}
		}
	})
}

// TestFourReplicas: ten subjects send more requests than they may to four
// replicas. Each gets what GCRA allows one process to admit, within 1 %,
// although a busy machine leaves some requests without a timely reply.
func TestFourReplicas(t *testing.T) {
	onTime(t, func() error { return fourReplicas(t) })
}

func fourReplicas(t *testing.T) error {
	at := startServer(t)
	rate := ratelimit.Rate{Count: 100, Period: time.Second}
	var mu sync.Mutex
	admitted := map[int]int{}
	begun := time.Now()
	var all sync.WaitGroup
	var stores []*failover.Store
	for range 4 {
		local, _ := ratelimit.NewMemory(ratelimit.MemoryConfig{Start: begun})
		f, err := failover.New(failover.Config{Store: openStore(t, at.url(), 0), OnStoreFailure: failover.FailLocal, Local: local, Replicas: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		stores = append(stores, f)
		all.Go(func() {
			results := make([]ratelimit.Result, 1)
			for time.Since(begun) < 3*time.Second {
				for owner := range 10 {
					refused, err := f.Take(t.Context(), time.Now(), []ratelimit.Limit{limit(numbered(owner, 1), rate)}, results)
					if err != nil {
						t.Error(err)
					} else if refused == ratelimit.NotRefused {
						mu.Lock()
						admitted[owner]++
						mu.Unlock()
					}
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	all.Wait()
	bound := 100 + time.Since(begun).Seconds()*100
	without := 0
	for _, f := range stores {
		without += int(f.Stats().LocalDecisions)
	}
	t.Logf("%.0f allowed, %d decided without Redis, admitted by subject: %v", bound, without, admitted)
	for owner := range 10 {
		if n := float64(admitted[owner]); n > 1.01*bound || n < 0.97*bound {
			return fmt.Errorf("subject %d: %v admitted, GCRA allows %.0f", owner, n, bound)
		}
	}
	return nil
}

func BenchmarkTake(b *testing.B) {
	s := openStore(b, startServer(b).url(), patient)
	limits := []ratelimit.Limit{limit(numbered(1, 1), ratelimit.Rate{Count: authz.MaxRateCount, Period: time.Second}), limit(numbered(1, 2), ratelimit.Rate{Count: 1_000_000, Period: time.Second})}
	local, _ := ratelimit.NewMemory(ratelimit.MemoryConfig{Start: time.Now()})
	f, err := failover.New(failover.Config{Store: s, OnStoreFailure: failover.FailLocal, Local: local})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.Run("behind failover", func(b *testing.B) {
		results := make([]ratelimit.Result, 1)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.Take(b.Context(), time.Now(), limits[:1], results); err != nil {
				b.Fatal(err)
			}
		}
	})
	for n := range limits {
		b.Run(fmt.Sprint(n+1), func(b *testing.B) {
			results := make([]ratelimit.Result, 2)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Take(b.Context(), time.Time{}, limits[:n+1], results); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
