package ratelimit

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"keyward/authz"
)

// debts are the requests that were let in without the shared store, by bucket.
// They are charged there with the bucket's next request, as far as it has room
// for them, and before that request.
//
// What a bucket has lost meanwhile must not be charged: a debt gets smaller by
// this replica's share of the rate. But not before the bucket can be empty in
// the store, since until then it gets emptier there already: that is when the
// store has not answered for as long as a bucket takes to be whole.
type debts struct {
	shards   [debtShards]debtShard
	most     int // in each
	replicas int
	some     atomic.Int64 // buckets; most of the time there are none
}

type debtShard struct {
	mu   sync.Mutex
	owed map[Bucket]debt
}

type debt struct {
	requests int
	over     time.Time // nothing is left of it then
}

const (
	debtShards = 64
	// MaxOwed is how many debts one request carries along. A store that is asked by many must not be kept.
	MaxOwed = 1000
	// maxDebt is in bursts of this replica's share: one at once, and as many again until the bucket is empty in the store.
	maxDebt = 2
	// debtLooks is among how many it is looked for one to give way. It is among any, and so among all in time.
	debtLooks = 8
)

func newDebts(most, replicas int) *debts {
	d := &debts{most: max(most/debtShards, 1), replicas: max(replicas, 1)}
	for i := range d.shards {
		d.shards[i].owed = map[Bucket]debt{}
	}
	return d
}

func (d *debts) shard(b *Bucket) *debtShard { return &d.shards[b[15]%debtShards] }

// add notes n more requests of the limit's bucket. The store had last answered
// at that time. Of too many buckets some are forgiven.
func (d *debts) add(now, answered time.Time, limit *Limit, n int) {
	s := d.shard(&limit.Bucket)
	s.mu.Lock()
	defer s.mu.Unlock()
	one, there := s.owed[limit.Bucket]
	if !there && len(s.owed) >= d.most && !d.makeRoom(s, now) {
		return
	}
	if !there {
		d.some.Add(1)
	}
	share, left := limit.Rate.Share(d.replicas), d.left(&one, limit.Rate, now)
	begins := answered.Add(spanOf(limit.Rate, limit.Rate.EffectiveBurst())) // to get smaller
	switch {
	case begins.After(now):
		one.over = begins.Add(spanOf(share, left))
	case one.over.Before(now):
		one.over = now
	}
	one.requests = left + n
	one.over = one.over.Add(spanOf(share, n))
	if most := maxDebt * share.EffectiveBurst(); one.requests > most {
		one.over = one.over.Add(-spanOf(share, one.requests-most))
		one.requests = most
	}
	s.owed[limit.Bucket] = one
}

// take has each limit carry what is owed of it.
func (d *debts) take(now time.Time, limits []Limit) {
	if d.some.Load() == 0 {
		return
	}
	for i := range limits {
		limits[i].Owed = d.takeOne(now, &limits[i])
	}
}

func (d *debts) takeOne(now time.Time, limit *Limit) int {
	s := d.shard(&limit.Bucket)
	s.mu.Lock()
	defer s.mu.Unlock()
	one, there := s.owed[limit.Bucket]
	if !there {
		return 0
	}
	left := d.left(&one, limit.Rate, now)
	n := min(left, MaxOwed)
	if one.requests = left - n; one.requests > 0 {
		s.owed[limit.Bucket] = one
		return n
	}
	d.forget(s, limit.Bucket)
	return n
}

// left is how many requests of it are not over yet, the last one counted whole.
func (d *debts) left(one *debt, rate Rate, now time.Time) int {
	step := max(spanOf(rate.Share(d.replicas), 1), 1)
	return min(one.requests, max(int(math.Ceil(float64(one.over.Sub(now))/float64(step))), 0))
}

// spanOf is how long it takes until so many more requests go into a bucket.
func spanOf(rate Rate, n int) time.Duration {
	const most = float64(2 * maxDebt * authz.MaxRefill)
	return time.Duration(min(float64(rate.Period)/float64(rate.Count)*float64(n), most))
}

func (d *debts) makeRoom(s *debtShard, now time.Time) bool {
	looked := 0
	for b, one := range s.owed {
		if !one.over.After(now) {
			d.forget(s, b)
			return true
		}
		if looked++; looked == debtLooks {
			break
		}
	}
	return false
}

func (d *debts) forget(s *debtShard, b Bucket) {
	if _, there := s.owed[b]; there {
		delete(s.owed, b)
		d.some.Add(-1)
	}
}

func (d *debts) reset(buckets []Bucket) {
	for i := range buckets {
		s := d.shard(&buckets[i])
		s.mu.Lock()
		d.forget(s, buckets[i])
		s.mu.Unlock()
	}
}
