package ratelimit

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"keyward/authz"
)

func benchLimits(n int) []Limit {
	k, _ := NewBucketKeyer(nil)
	subject := k.Subject("api_key", "k_0123456789abcdef")
	all := []Limit{
		{Name: "api_key", Bucket: k.Bucket(subject, "api_key"), Rate: Rate{Count: 1_000_000, Period: time.Second}},
		{Name: "route", Bucket: k.Bucket(subject, "route", "reports"), Rate: Rate{Count: 600_000, Period: time.Second}},
		{Name: "address", Bucket: k.Bucket(k.Subject("address", "192.0.2.1"), "address"), Rate: Rate{Count: authz.MaxRateCount, Period: time.Hour}},
	}
	return all[:n]
}

func BenchmarkMemoryTake(b *testing.B) {
	for n, name := range []string{"", "1", "2", "3"} {
		if n == 0 {
			continue
		}
		b.Run(name, func(b *testing.B) {
			m, _ := NewMemory(MemoryConfig{Start: time.Now()})
			limits, results := benchLimits(n), make([]Result, n)
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(2 * time.Microsecond)
				if refused, err := m.Take(context.Background(), now, limits, results); err != nil || refused >= 0 {
					b.Fatal(refused, err)
				}
			}
		})
	}
}

// BenchmarkMemoryMillion takes one limit of a million buckets, in random order.
func BenchmarkMemoryMillion(b *testing.B) {
	m, _ := NewMemory(MemoryConfig{Start: time.Now()})
	buckets := make([]Bucket, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	limits, results := make([]Limit, 1), make([]Result, 1)
	now := time.Now()
	for i := range buckets {
		fill(r, &buckets[i])
		limits[0] = Limit{Name: "key", Bucket: buckets[i], Rate: Rate{Count: 1000, Period: time.Hour}}
		if _, err := m.Take(context.Background(), now, limits, results); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; b.Loop(); i++ {
		limits[0].Bucket = buckets[i&(1<<20-1)]
		if _, err := m.Take(context.Background(), now, limits, results); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBucket(b *testing.B) {
	for _, mode := range []string{"seed", "key"} {
		b.Run(mode, func(b *testing.B) {
			var key []byte
			if mode == "key" {
				key = make([]byte, 32)
			}
			k, _ := NewBucketKeyer(key)
			b.ReportAllocs()
			for b.Loop() {
				k.Bucket(k.Subject("api_key", "k_0123456789abcdef"), "api_key")
			}
		})
	}
}

func fill(r *rand.Rand, b *Bucket) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}
