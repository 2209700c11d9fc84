package usage

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
)

// BenchmarkObserve measures the cost of recording per check, with callers on all
// CPUs: with one key, and with another of many keys each time.
func BenchmarkObserve(b *testing.B) {
	for _, keys := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			tracker := New(Config{File: b.TempDir() + "/usage.jsonl", Flush: time.Hour})
			defer tracker.Close()
			principals := make([]*authz.Principal, keys)
			for i := range principals {
				principals[i] = &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: fmt.Sprintf("k_%012d", i)}
			}
			r := authz.Request{Method: "GET", Target: "/posts/12345/comments?page=2", Peer: "192.0.2.1"}
			for range maxOutcomes {
				for _, p := range principals {
					tracker.Observe(&r, &authz.Decision{Reason: authz.OK, Principal: p, At: time.Now()})
				}
			}
			var callers atomic.Uint64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				next := callers.Add(1) * 7919
				for pb.Next() {
					next++
					d := authz.Decision{Reason: authz.OK, Principal: principals[next%uint64(keys)], At: time.Now()}
					tracker.Observe(&r, &d)
				}
			})
			b.StopTimer() // Close flushes everything
		})
	}
}

// BenchmarkMemory measures the memory that a key takes once it is used. A key that
// is not used takes none.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct {
		name       string
		uses, days int
	}{{"one use", 1, 1}, {"20 uses", 20, 1}, {"20 uses a day, 30 days", 20, 30}} {
		b.Run(c.name, func(b *testing.B) {
			const keys = 100_000
			for range b.N {
				clock := newClock()
				tracker := quiet("", func(cfg *Config) { cfg.MaxKeys, cfg.Now = 2*keys, clock.now })
				before := heap()
				for n := range c.days {
					clock.setDay(n)
					for i := range keys {
						for range c.uses {
							use(tracker, fmt.Sprintf("k_%012d", i), "/posts/12345/comments?page=2", authz.OK)
						}
					}
				}
				b.ReportMetric(float64(heap()-before)/keys, "bytes/key")
				runtime.KeepAlive(tracker)
			}
		})
	}
}

// heap returns the size of the objects that are in use.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
