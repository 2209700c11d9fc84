package admin

import (
	"math/rand/v2"
	"testing"
	"time"

	"keyward/authz"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestDurations: every duration is counted in the same buckets as by
// client_golang's histogram.
func TestDurations(t *testing.T) {
	histogram, err := NewDurations(prometheus.NewRegistry(), "x", "x")
	if err != nil {
		t.Fatal(err)
	}
	reference := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x", Buckets: classic[:], NativeHistogramBucketFactor: 1.1})
	observe := func(took time.Duration) {
		histogram.Observe(authz.TransportNginx, took)
		reference.Observe(took.Seconds())
		var a, b dto.Metric
		if (&durationMetric{histogram, authz.TransportNginx}).Write(&a) != nil || reference.Write(&b) != nil {
			t.Fatal("Write failed")
		}
		if x, y := described(a.Histogram), described(b.Histogram); x != y {
			t.Fatalf("after %d ns:\n%s\nwant\n%s", took, x, y)
		}
	}
	for _, end := range cellEnd {
		for _, off := range []int64{-1, 0, 1} {
			if ns := end + off; ns > cellEnd[0] && ns <= cellEnd[cellCount-1] {
				observe(time.Duration(ns))
			}
		}
	}
	for range 3000 {
		observe(time.Duration(cellEnd[0] + 1 + rand.Int64N(1<<(6+rand.IntN(28)))))
	}
}

// described returns a text of the counts of a histogram.
func described(h *dto.Histogram) string {
	counted := &dto.Histogram{
		SampleCount: h.SampleCount, Bucket: h.Bucket, Schema: h.Schema, PositiveSpan: h.PositiveSpan, PositiveDelta: h.PositiveDelta,
	}
	return counted.String()
}

// TestDurationsBeyond: a duration outside all buckets is counted in the
// nearest, without a panic.
func TestDurationsBeyond(t *testing.T) {
	for _, ns := range []int64{-1 << 63, -1, 0, 1, 7, 8, 59} {
		if cell := cellOf(ns); cell != 0 {
			t.Errorf("%d ns: cell %d", ns, cell)
		}
	}
	for _, ns := range []int64{17e9, 1<<63 - 1} {
		if cell := cellOf(ns); cell != cellCount-1 {
			t.Errorf("%d ns: cell %d", ns, cell)
		}
	}
}

func BenchmarkDurations(b *testing.B) {
	d, err := NewDurations(prometheus.NewRegistry(), "x", "x")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		d.Observe(authz.TransportGRPC, 1234*time.Nanosecond)
	}
}
