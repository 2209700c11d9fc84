package redis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"keyward/authz"
	"keyward/ratelimit"
)

// patient is a timeout for tests in which time does not matter.
const patient = 5 * time.Second

func numbered(owner, n int) (b ratelimit.Bucket) {
	b[7], b[14], b[15] = byte(owner), byte(n>>8), byte(n)
	return b
}

func limit(b ratelimit.Bucket, rate ratelimit.Rate) ratelimit.Limit {
	return ratelimit.Limit{Name: "key", Bucket: b, Rate: rate}
}

func take(t testing.TB, s ratelimit.Store, limits ...ratelimit.Limit) (int, []ratelimit.Result) {
	t.Helper()
	results := make([]ratelimit.Result, len(limits))
	refused, err := s.Take(t.Context(), time.Now(), limits, results)
	if err != nil {
		t.Fatal(err)
	}
	return refused, results
}

// withClock makes the store's script read the time from a key instead of the
// server's clock.
func withClock(t *testing.T, s *Store) func(micros int64) {
	t.Helper()
	script := strings.Replace(takeScript, "redis.call('TIME')", "{ string.match(redis.call('GET', 'clock'), '^(.*)(......)$') }", 1)
	// Nor may keys expire by the server's clock.
	lasting := strings.Replace(script, ", 'PX', string.format('%.0f', math.ceil((b.tat + 1) / 1000))", "", 1)
	if script == takeScript || lasting == script {
		t.Fatal("the script no longer reads the time, or sets the expiry, as this test expects")
	}
	s.take = redis.NewScript(lasting)
	return func(micros int64) {
		if err := s.client.Set(t.Context(), "clock", fmt.Sprintf("%07d", micros), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAgreesWithMemory: the script gives the results of Memory, on random
// requests under a clock that also leaps and goes back, with changing rates.
func TestAgreesWithMemory(t *testing.T) {
	s := openStore(t, startServer(t).url(), patient)
	setClock := withClock(t, s)
	rates := []ratelimit.Rate{
		{Count: 7, Period: time.Second}, {Count: 1000, Period: time.Hour}, {Count: 3, Period: 10 * time.Millisecond}, {Count: 1, Period: time.Second},
		{Count: 11, Period: time.Minute, Burst: 3}, {Count: 13, Period: time.Second, Burst: 40}, {Count: authz.MaxRateCount, Period: time.Second, Burst: 5},
		{Count: 60, Period: time.Hour}, {Count: 1, Period: time.Minute, Burst: 60}, {Count: 999_983, Period: time.Second, Burst: 17},
	}
	for round := range 6 {
		r := rand.New(rand.NewPCG(uint64(round), 1))
		m, err := ratelimit.NewMemory(ratelimit.MemoryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		current := make([]ratelimit.Rate, 6)
		for i := range current {
			current[i] = rates[r.IntN(len(rates))]
		}
		now := time.Now().UnixMicro()
		for step := range 400 {
			switch r.IntN(20) {
			case 0:
				now += r.Int64N(10_000_000)
			case 1:
				current[r.IntN(len(current))] = rates[r.IntN(len(rates))]
			case 2:
				now -= r.Int64N(2_000_000)
			default:
				now += r.Int64N(2000)
			}
			limits := someLimits(r, round, current)
			got, want := make([]ratelimit.Result, len(limits)), make([]ratelimit.Result, len(limits))
			setClock(now)
			ask, reference := s.Take, m.Take
			if r.IntN(5) == 0 {
				ask, reference = s.Peek, m.Peek
			}
			refused, err := ask(t.Context(), time.Time{}, limits, got)
			if err != nil {
				t.Fatal(err)
			}
			wanted, _ := reference(t.Context(), time.UnixMicro(now), limits, want)
			if refused != wanted || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("round %d, step %d, %+v:\nredis  %d %+v\nmemory %d %+v", round, step, limits, refused, got, wanted, want)
			}
		}
	}
}

func someLimits(r *rand.Rand, round int, rates []ratelimit.Rate) (limits []ratelimit.Limit) {
	for _, i := range r.Perm(len(rates))[:1+r.IntN(3)] {
		l := limit(numbered(round, i), rates[i])
		l.Shadow = r.IntN(6) == 0
		if r.IntN(4) == 0 {
			l.Deferred = r.IntN(20)
		}
		limits = append(limits, l)
	}
	return limits
}

// TestDeferred: a script charges at most a thousand deferred requests, and does
// not take long.
func TestDeferred(t *testing.T) {
	s := openStore(t, startServer(t).url(), patient)
	one := limit(numbered(1, 1), ratelimit.Rate{Count: 5000, Period: time.Hour})
	one.Deferred = 4000
	if refused, results := take(t, s, one); refused != ratelimit.NotRefused || results[0].Applied != ratelimit.MaxDeferred || results[0].Remaining != 3999 {
		t.Error(refused, results)
	}
	if _, err := s.Peek(t.Context(), time.Now(), []ratelimit.Limit{one}, make([]ratelimit.Result, 1)); err != nil {
		t.Fatal(err)
	}
	one.Deferred = 0
	if _, results := take(t, s, one); results[0].Remaining != 3998 {
		t.Error("Peek charges:", results)
	}
}

// TestShared: two replicas that ask concurrently share a count exactly.
func TestShared(t *testing.T) {
	at := startServer(t)
	stores := []*Store{openStore(t, at.url(), patient), openStore(t, "unix://"+at.socket(), patient)}
	var admitted atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 50 {
				results := make([]ratelimit.Result, 1)
				refused, err := stores[i%2].Take(t.Context(), time.Now(), []ratelimit.Limit{limit(numbered(1, 1), ratelimit.Rate{Count: 100, Period: 24 * time.Hour})}, results)
				if err != nil {
					t.Error(err)
				} else if refused == ratelimit.NotRefused {
					admitted.Add(1)
				}
			}
		})
	}
	all.Wait()
	if admitted.Load() != 100 {
		t.Errorf("%d admitted", admitted.Load())
	}
	one := limit(numbered(1, 1), ratelimit.Rate{Count: 100, Period: 24 * time.Hour})
	if err := stores[0].Reset(t.Context(), one.Bucket); err != nil {
		t.Fatal(err)
	}
	if refused, results := take(t, stores[1], one); refused != ratelimit.NotRefused || results[0].Remaining != 99 {
		t.Error("not full after Reset:", refused, results)
	}
}

// TestExpires: the state of a bucket expires when the bucket is full.
func TestExpires(t *testing.T) {
	s := openStore(t, startServer(t).url(), patient)
	b := numbered(1, 1)
	take(t, s, limit(b, ratelimit.Rate{Count: 60, Period: time.Hour}))
	left, err := s.client.PTTL(t.Context(), s.key(&b)).Result()
	if err != nil || left <= 50*time.Second || left > 61*time.Second {
		t.Error(left, err)
	}
	if got := s.key(&b); got != "keyward:{0000000000000001}0000000000000001" {
		t.Error(got)
	}
}

// TestScriptLost: a server that lost the scripts receives them again, without a
// refusal or an error.
func TestScriptLost(t *testing.T) {
	at := startServer(t)
	s := openStore(t, at.url(), patient)
	one := limit(numbered(1, 1), ratelimit.Rate{Count: 10, Period: time.Hour})
	for i := range 3 {
		if _, results := take(t, s, one); results[0].Remaining != 9-i {
			t.Fatal(results)
		}
		at.must("SCRIPT FLUSH")
	}
}

func TestInvalidCalls(t *testing.T) {
	s := openStore(t, "redis://127.0.0.1:1", patient)
	if _, err := s.Take(t.Context(), time.Now(), make([]ratelimit.Limit, 1), make([]ratelimit.Result, 1)); !errors.Is(err, authz.ErrRate) {
		t.Error(err)
	}
	if _, err := s.Take(t.Context(), time.Now(), make([]ratelimit.Limit, 1), nil); !errors.Is(err, ratelimit.ErrLimits) {
		t.Error(err)
	}
	for _, cfg := range []Config{{}, {URL: authz.NewSecret("redis://h"), Timeout: -1}, {URL: authz.NewSecret("redis://h"), Connections: -1}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

// TestErrorsHaveNoSecret: an error does not contain the password, neither if it
// is wrong nor if the server is unavailable.
func TestErrorsHaveNoSecret(t *testing.T) {
	at := startServer(t, "--requirepass", "right")
	for _, url := range []string{"redis://:hunter2@" + at.addr, "redis://u:hunter2@127.0.0.1:1/0"} {
		s := openStore(t, url, patient)
		_, err := s.Take(t.Context(), time.Now(), []ratelimit.Limit{limit(numbered(1, 1), ratelimit.Rate{Count: 1, Period: time.Hour})}, make([]ratelimit.Result, 1))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	s, err := New(Config{URL: authz.NewSecret("redis://:wrong@" + at.addr), Password: authz.NewSecret("right"), Timeout: patient})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	take(t, s, limit(numbered(1, 1), ratelimit.Rate{Count: 1, Period: time.Hour}))
}
