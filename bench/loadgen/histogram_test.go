package loadgen

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramAgreesWithSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var one, two Histogram
	var all []time.Duration
	for i := range 100_000 {
		d := time.Duration(r.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			one.add(d)
		} else {
			two.add(d)
		}
	}
	one.Merge(&two)
	slices.Sort(all)
	for _, p := range []float64{0, 1, 50, 99, 99.9, 100} {
		want := all[min(len(all)-1, int(float64(len(all))*p/100))]
		if got := one.Percentile(p); (got - want).Abs() > want/200+1 {
			t.Errorf("p%g is %v, want %v by sorting", p, got, want)
		}
	}
}

func TestHistogramEnds(t *testing.T) {
	for _, d := range []time.Duration{-1, 0, 1, 127, 128, 255, 256, 257, time.Hour, 1<<63 - 1} {
		var h Histogram
		h.add(d)
		want := min(max(d, 0), 1<<longestBits)
		if got := h.Percentile(50); (got - want).Abs() > want/200+1 {
			t.Errorf("%v is recorded as %v", d, got)
		}
	}
	if got := (&Histogram{}).Percentile(99); got != 0 {
		t.Errorf("p99 of an empty histogram is %v", got)
	}
}
