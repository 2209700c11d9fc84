package main

import (
	"math/bits"
	"time"
)

// answers are what came of a run: how many, how long each took, and all of them.
type answers struct {
	histogram
	failed int // not among them; other than 0 where the driver is lenient
	took   time.Duration
}

func (a *answers) rate() float64 { return float64(a.count) / a.took.Seconds() }

// histogram counts durations in a fixed amount of memory, whatever their
// number. A bucket is at most a 128th as wide as what is in it is long.
type histogram struct {
	count   int
	buckets [bucketCount]uint64
}

const (
	fineBits    = 7  // a power of two is cut into 1<<fineBits buckets
	longestBits = 40 // longer than 2^40 ns, eighteen minutes, is counted as that
	bucketCount = (longestBits - fineBits + 1) << fineBits
)

func bucketOf(d time.Duration) int {
	ns := min(uint64(max(d, 0)), 1<<longestBits-1)
	coarse := max(bits.Len64(ns)-fineBits-1, 0)
	return coarse<<fineBits + int(ns>>coarse)
}

// middleOf is the middle of a bucket.
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

// percentile is right to half a bucket, which is 0.4 %.
func (h *histogram) percentile(p float64) time.Duration {
	rank := uint64(min(h.count-1, int(float64(h.count)*p/100)))
	for i, n := range h.buckets {
		if rank < n {
			return middleOf(i)
		}
		rank -= n
	}
	return 0 // nothing was counted
}
