package loadgen

import (
	"math/bits"
	"time"
)

// Answers is the result of a run: the number of replies, the duration of each,
// and the total time.
type Answers struct {
	Histogram
	Failed int // not included in count; only if the driver is lenient
	Took   time.Duration
}

// Rate returns the replies per second.
func (a *Answers) Rate() float64 { return float64(a.Count) / a.Took.Seconds() }

// Histogram counts durations in a fixed amount of memory. A bucket is at most
// 1/128 as wide as the durations in it.
type Histogram struct {
	Count   int
	buckets [bucketCount]uint64
}

const (
	fineBits    = 7  // each power of two is divided into 1<<fineBits buckets
	longestBits = 40 // durations above 2^40 ns, eighteen minutes, count as that
	bucketCount = (longestBits - fineBits + 1) << fineBits
)

func bucketOf(d time.Duration) int {
	ns := min(uint64(max(d, 0)), 1<<longestBits-1)
	coarse := max(bits.Len64(ns)-fineBits-1, 0)
	return coarse<<fineBits + int(ns>>coarse)
}

// middleOf returns the middle of a bucket.
func middleOf(bucket int) time.Duration {
	coarse := max(bucket>>fineBits-1, 0)
	return time.Duration(bucket-coarse<<fineBits)<<coarse + time.Duration(1)<<coarse/2
}

func (h *Histogram) add(d time.Duration) {
	h.Count++
	h.buckets[bucketOf(d)]++
}

// Merge adds what the other one has.
func (h *Histogram) Merge(other *Histogram) {
	h.Count += other.Count
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

// Percentile is accurate to half a bucket, which is 0.4 %.
func (h *Histogram) Percentile(p float64) time.Duration {
	rank := uint64(min(h.Count-1, int(float64(h.Count)*p/100)))
	for i, n := range h.buckets {
		if rank < n {
			return middleOf(i)
		}
		rank -= n
	}
	return 0 // the histogram is empty
}
