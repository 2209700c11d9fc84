package ratelimit

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"keyward/authz"
)

// pendingCharges counts, per bucket, the requests that were allowed while the
// shared store was unavailable. They are charged there with the bucket's next
// request and before it, as far as the bucket has space.
//
// A pending charge decays at this replica's share of the rate, since the bucket
// would have refilled meanwhile. It starts to decay once the store has not answered
// for a full refill: until then the bucket that is stored refills by itself.
type pendingCharges struct {
	shards     [pendingShards]pendingShard
	maxBuckets int // in each
	replicas   int
	buckets    atomic.Int64 // buckets; most of the time there are none
}

type pendingShard struct {
	mu      sync.Mutex
	charges map[Bucket]pendingCharge
}

type pendingCharge struct {
	requests int
	expires  time.Time // nothing is left of it then
}

const (
	pendingShards = 64
	// MaxDeferred bounds the pending charges of one request, so that it does not
	// occupy a store that many ask.
	MaxDeferred = 1000
	// maxPending is in bursts of this replica's share: one at once, and as many again until the bucket is full in the store.
	maxPending = 2
	// evictionSamples is among how many it is looked for one to give way. It is among any, and so among all in time.
	evictionSamples = 8
)

func newPendingCharges(most, replicas int) *pendingCharges {
	d := &pendingCharges{maxBuckets: max(most/pendingShards, 1), replicas: max(replicas, 1)}
	for i := range d.shards {
		d.shards[i].charges = map[Bucket]pendingCharge{}
	}
	return d
}

func (d *pendingCharges) shard(b *Bucket) *pendingShard { return &d.shards[b[15]%pendingShards] }

// add notes n more requests of the limit's bucket. The store had last answered
// at that time. Of too many buckets some are forgiven.
func (d *pendingCharges) add(now, answered time.Time, limit *Limit, n int) {
	s := d.shard(&limit.Bucket)
	s.mu.Lock()
	defer s.mu.Unlock()
	one, there := s.charges[limit.Bucket]
	if !there && len(s.charges) >= d.maxBuckets && !d.evict(s, now) {
		return
	}
	if !there {
		d.buckets.Add(1)
	}
	share, left := limit.Rate.Share(d.replicas), d.remaining(&one, limit.Rate, now)
	begins := answered.Add(refillTime(limit.Rate, limit.Rate.EffectiveBurst())) // to get smaller
	switch {
	case begins.After(now):
		one.expires = begins.Add(refillTime(share, left))
	case one.expires.Before(now):
		one.expires = now
	}
	one.requests = left + n
	one.expires = one.expires.Add(refillTime(share, n))
	if most := maxPending * share.EffectiveBurst(); one.requests > most {
		one.expires = one.expires.Add(-refillTime(share, one.requests-most))
		one.requests = most
	}
	s.charges[limit.Bucket] = one
}

// take moves each limit's pending charges into it.
func (d *pendingCharges) take(now time.Time, limits []Limit) {
	if d.buckets.Load() == 0 {
		return
	}
	for i := range limits {
		limits[i].Deferred = d.takeOne(now, &limits[i])
	}
}

func (d *pendingCharges) takeOne(now time.Time, limit *Limit) int {
	s := d.shard(&limit.Bucket)
	s.mu.Lock()
	defer s.mu.Unlock()
	one, there := s.charges[limit.Bucket]
	if !there {
		return 0
	}
	left := d.remaining(&one, limit.Rate, now)
	n := min(left, MaxDeferred)
	if one.requests = left - n; one.requests > 0 {
		s.charges[limit.Bucket] = one
		return n
	}
	d.remove(s, limit.Bucket)
	return n
}

// remaining is how many of its requests have not decayed, rounded up.
func (d *pendingCharges) remaining(one *pendingCharge, rate Rate, now time.Time) int {
	step := max(refillTime(rate.Share(d.replicas), 1), 1)
	return min(one.requests, max(int(math.Ceil(float64(one.expires.Sub(now))/float64(step))), 0))
}

// refillTime is how long a bucket takes to allow n more requests.
func refillTime(rate Rate, n int) time.Duration {
	const most = float64(2 * maxPending * authz.MaxRefill)
	return time.Duration(min(float64(rate.Period)/float64(rate.Count)*float64(n), most))
}

func (d *pendingCharges) evict(s *pendingShard, now time.Time) bool {
	looked := 0
	for b, one := range s.charges {
		if !one.expires.After(now) {
			d.remove(s, b)
			return true
		}
		if looked++; looked == evictionSamples {
			break
		}
	}
	return false
}

func (d *pendingCharges) remove(s *pendingShard, b Bucket) {
	if _, there := s.charges[b]; there {
		delete(s.charges, b)
		d.buckets.Add(-1)
	}
}

func (d *pendingCharges) reset(buckets []Bucket) {
	for i := range buckets {
		s := d.shard(&buckets[i])
		s.mu.Lock()
		d.remove(s, buckets[i])
		s.mu.Unlock()
	}
}
