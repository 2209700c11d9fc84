package failover

import (
	"encoding/binary"
	"testing"
	"time"

	"keyward/ratelimit"
)

var start = time.Unix(1_700_000_000, 0)

func newTestMemory(t testing.TB, buckets int, from time.Time) *ratelimit.Memory {
	t.Helper()
	m, err := ratelimit.NewMemory(ratelimit.MemoryConfig{Buckets: buckets, Start: from})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// numbered returns a bucket that differs from those of other numbers.
func numbered(n int) (b ratelimit.Bucket) {
	binary.BigEndian.PutUint64(b[8:], uint64(n))
	return b
}

// ask calls Take once and returns the limit that refused.
func ask(t *testing.T, s ratelimit.Store, now time.Time, limits ...ratelimit.Limit) (int, []ratelimit.Result) {
	t.Helper()
	results := make([]ratelimit.Result, len(limits))
	refused, err := s.Take(t.Context(), now, limits, results)
	if err != nil {
		t.Fatal(err)
	}
	return refused, results
}

// admits returns how many of 100 requests are admitted.
func admits(t *testing.T, s ratelimit.Store, now time.Time, limit ratelimit.Limit) (n int) {
	t.Helper()
	for range 100 {
		if refused, _ := ask(t, s, now, limit); refused == ratelimit.NotRefused {
			n++
		}
	}
	return n
}
