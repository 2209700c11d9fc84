package ratelimit

import (
	"sync"
	"time"
)

// holds are the buckets of which a shared store has said how long they take
// nobody. A bucket only gets fuller when others are let in, so until then the
// store need not be asked again.
//
// Only Reset would change that, from another process: so it is asked once in
// maxHold at least.
type holds struct {
	shards [holdShards]holdShard
	most   int // in each
}

type holdShard struct {
	mu    sync.Mutex
	held  map[Bucket]hold
	swept time.Time
	count uint64 // of refusals
}

type hold struct {
	asked, until time.Time
	rate         Rate
}

const (
	holdShards   = 64
	defaultHolds = 1 << 16
	maxHold      = time.Second
	minHold      = time.Millisecond // less is not worth a note
)

func newHolds(most int) *holds {
	h := &holds{most: max(most/holdShards, 1)}
	for i := range h.shards {
		h.shards[i].held = map[Bucket]hold{}
	}
	return h
}

// shard is told by the half of a bucket that owners do not share.
func (h *holds) shard(b *Bucket) *holdShard { return &h.shards[b[15]%holdShards] }

// over tells whether the hold says nothing at that time. A clock that went back
// ends it: it was asked for in what is now the future.
func (h *hold) over(now time.Time) bool {
	age := now.Sub(h.asked)
	return age < 0 || age >= maxHold || !now.Before(h.until)
}

// refuse fills in the results and returns the limit that refuses, if one is
// held. Of the other limits nothing is known; they are said to be whole.
func (h *holds) refuse(now time.Time, limits []Limit, results []Result) int {
	found := false
	for i := range limits {
		if limits[i].Shadow {
			continue
		}
		if wait := h.wait(&limits[i], now); wait > 0 {
			if !found {
				reportWhole(limits, results)
			}
			found = true
			results[i] = heldResult(limits[i].Rate, wait)
		}
	}
	if !found {
		return NotRefused
	}
	return Refused(limits, results)
}

func (h *holds) wait(limit *Limit, now time.Time) time.Duration {
	s := h.shard(&limit.Bucket)
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.held[limit.Bucket]
	switch {
	case !ok || held.rate != limit.Rate:
		return 0
	case held.over(now):
		delete(s.held, limit.Bucket)
		return 0
	}
	s.count++
	return held.until.Sub(now)
}

func heldResult(rate Rate, wait time.Duration) (result Result) {
	var rule Rule
	rule.set(rate)
	level := rule.Room
	level.Micros += int64((wait + time.Microsecond - 1) / time.Microsecond)
	if full := rule.Full(); !level.atMost(full) {
		level = full
	}
	rule.Report(&result, level, false)
	return result
}

// reportWhole says that nothing is in any bucket.
func reportWhole(limits []Limit, results []Result) {
	for i := range limits {
		var rule Rule
		rule.set(limits[i].Rate)
		rule.Report(&results[i], Level{}, true)
	}
}

// note keeps what the store said to a question of that time. The question was
// on its way for a moment, so the hold ends before the store's does.
func (h *holds) note(now time.Time, limits []Limit, results []Result) {
	for i := range limits {
		wait := results[i].RetryAfter
		if results[i].Allowed && results[i].Remaining == 0 {
			wait = untilNext(limits[i].Rate, results[i].ResetAfter)
		}
		if wait >= minHold && !limits[i].Shadow {
			h.put(limits[i].Bucket, hold{now, now.Add(wait), limits[i].Rate}, now)
		}
	}
}

// untilNext is when one more goes into a bucket that takes so long to be whole.
func untilNext(rate Rate, reset time.Duration) time.Duration {
	var rule Rule
	rule.set(rate)
	return reset - time.Duration(rule.Room.up()+1)*time.Microsecond
}

// put leaves it when there are too many: then the store is asked.
func (h *holds) put(b Bucket, held hold, now time.Time) {
	s := h.shard(&b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.held) >= h.most {
		s.sweep(now)
	}
	if _, there := s.held[b]; there || len(s.held) < h.most {
		s.held[b] = held
	}
}

func (s *holdShard) sweep(now time.Time) {
	if since := now.Sub(s.swept); since >= 0 && since < maxHold/10 {
		return
	}
	s.swept = now
	for b, held := range s.held {
		if held.over(now) {
			delete(s.held, b)
		}
	}
}

func (h *holds) reset(buckets []Bucket) {
	for i := range buckets {
		s := h.shard(&buckets[i])
		s.mu.Lock()
		delete(s.held, buckets[i])
		s.mu.Unlock()
	}
}

// refusals is how many there were since the start.
func (h *holds) refusals() (sum uint64) {
	for i := range h.shards {
		h.shards[i].mu.Lock()
		sum += h.shards[i].count
		h.shards[i].mu.Unlock()
	}
	return sum
}
