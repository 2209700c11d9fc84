package failover

import (
	"sync"
	"time"

	"keyward/ratelimit"
)

// denialCache remembers, per bucket, until when the shared store denies
// requests. Other requests can only extend a denial, so the store need not be
// asked before it ends.
//
// A Reset by another process is the only exception. Therefore the store is
// asked at least once per maxDenial.
type denialCache struct {
	shards     [denialShards]denialShard
	maxBuckets int // per shard
}

type denialShard struct {
	mu      sync.Mutex
	denials map[ratelimit.Bucket]denial
	swept   time.Time
	denied  uint64 // number of refusals
}

type denial struct {
	asked, until time.Time
	rate         ratelimit.Rate
}

const (
	denialShards   = 64
	defaultDenials = 1 << 16
	maxDenial      = time.Second
	minDenial      = time.Millisecond // shorter ones are not worth caching
)

func newDenialCache(maxBuckets int) *denialCache {
	h := &denialCache{maxBuckets: max(maxBuckets/denialShards, 1)}
	for i := range h.shards {
		h.shards[i].denials = map[ratelimit.Bucket]denial{}
	}
	return h
}

// shard uses the half of a bucket that differs within a subject.
func (h *denialCache) shard(b *ratelimit.Bucket) *denialShard { return &h.shards[b[15]%denialShards] }

// expired reports whether the denial has ended. It also ends if the clock went
// back to before the time of its request.
func (h *denial) expired(now time.Time) bool {
	age := now.Sub(h.asked)
	return age < 0 || age >= maxDenial || !now.Before(h.until)
}

// deny fills in the results and returns the limit that refuses, if one is
// cached. The state of the other limits is unknown; they are reported as full.
func (h *denialCache) deny(now time.Time, limits []ratelimit.Limit, results []ratelimit.Result) int {
	found := false
	for i := range limits {
		if limits[i].Shadow {
			continue
		}
		if wait := h.wait(&limits[i], now); wait > 0 {
			if !found {
				reportFull(limits, results)
			}
			found = true
			results[i] = denialResult(limits[i].Rate, wait)
		}
	}
	if !found {
		return ratelimit.NotRefused
	}
	return ratelimit.Refused(limits, results)
}

func (h *denialCache) wait(limit *ratelimit.Limit, now time.Time) time.Duration {
	s := h.shard(&limit.Bucket)
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.denials[limit.Bucket]
	switch {
	case !ok || held.rate != limit.Rate:
		return 0
	case held.expired(now):
		delete(s.denials, limit.Bucket)
		return 0
	}
	s.denied++
	return held.until.Sub(now)
}

func denialResult(rate ratelimit.Rate, wait time.Duration) (result ratelimit.Result) {
	var params ratelimit.Params
	params.Set(rate)
	tat := params.BurstTolerance
	tat.Micros += int64((wait + time.Microsecond - 1) / time.Microsecond)
	if maxTAT := params.MaxTAT(); !tat.AtMost(maxTAT) {
		tat = maxTAT
	}
	params.Report(&result, tat, false)
	return result
}

// reportFull reports every bucket as full.
func reportFull(limits []ratelimit.Limit, results []ratelimit.Result) {
	for i := range limits {
		var params ratelimit.Params
		params.Set(limits[i].Rate)
		params.Report(&results[i], ratelimit.Interval{}, true)
	}
}

// record caches the store's reply to a request made at that time. The request
// took a moment to arrive, so the denial ends here before it ends in the store.
func (h *denialCache) record(now time.Time, limits []ratelimit.Limit, results []ratelimit.Result) {
	for i := range limits {
		wait := results[i].RetryAfter
		if results[i].Allowed && results[i].Remaining == 0 {
			wait = untilAllowed(limits[i].Rate, results[i].ResetAfter)
		}
		if wait >= minDenial && !limits[i].Shadow {
			h.put(limits[i].Bucket, denial{now, now.Add(wait), limits[i].Rate}, now)
		}
	}
}

// untilAllowed returns the time until a bucket that refills fully in reset
// allows one more request.
func untilAllowed(rate ratelimit.Rate, reset time.Duration) time.Duration {
	var params ratelimit.Params
	params.Set(rate)
	return reset - time.Duration(params.BurstTolerance.Ceil()+1)*time.Microsecond
}

// put does not store the denial if there are too many; the store is then asked.
func (h *denialCache) put(b ratelimit.Bucket, held denial, now time.Time) {
	s := h.shard(&b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.denials) >= h.maxBuckets {
		s.sweep(now)
	}
	if _, there := s.denials[b]; there || len(s.denials) < h.maxBuckets {
		s.denials[b] = held
	}
}

func (s *denialShard) sweep(now time.Time) {
	if since := now.Sub(s.swept); since >= 0 && since < maxDenial/10 {
		return
	}
	s.swept = now
	for b, held := range s.denials {
		if held.expired(now) {
			delete(s.denials, b)
		}
	}
}

func (h *denialCache) reset(buckets []ratelimit.Bucket) {
	for i := range buckets {
		s := h.shard(&buckets[i])
		s.mu.Lock()
		delete(s.denials, buckets[i])
		s.mu.Unlock()
	}
}

// denied returns the number of denials since the start.
func (h *denialCache) denied() (sum uint64) {
	for i := range h.shards {
		h.shards[i].mu.Lock()
		sum += h.shards[i].denied
		h.shards[i].mu.Unlock()
	}
	return sum
}
