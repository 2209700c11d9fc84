package main

import (
	"math/bits"
	"time"
)

// answers is the result of a run: the number of replies, the duration of each,
// and the total time.
type answers struct {
	histogram
	failed int // not included in count; only if the driver is lenient
	took   time.Duration
}

func (a *answers) rate() float64 { return float64(a.count) / a.took.Seconds() }

// histogram counts durations in a fixed amount of memory. A bucket is at most
// 1/128 as wide as the durations in it.
type histogram struct {
	count   int
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

func (h *histogram) add(d time.Duration) {
	h.count++
	h.buckets[bucketOf(d)]++
}

func (h *histogram) merge(other *histogram) {
	h.count += other.count
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

// percentile is accurate to half a bucket, which is 0.4 %.
func (h *histogram) percentile(p float64) time.Duration {
	rank := uint64(min(h.count-1, int(float64(h.count)*p/100)))
	for i, n := range h.buckets {
		if rank < n {
			return middleOf(i)
		}
		rank -= n
	}
	return 0 // the histogram is empty
}
