package failover

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"keyward/authz"
	"keyward/ratelimit"
)

// pendingCharges counts, per bucket, the requests that were allowed while the
// shared store was unavailable. They are charged there before the bucket's next
// request, as far as the bucket has space.
//
// A pending charge decays at this replica's share of the rate, since the bucket
// would have refilled in the meantime. It only decays once the store has not
// answered for a full refill: until then the stored bucket refills by itself.
type pendingCharges struct {
	shards     [pendingShards]pendingShard
	maxBuckets int // per shard
	replicas   int
	buckets    atomic.Int64 // with pending charges; usually 0
}

type pendingShard struct {
	mu      sync.Mutex
	charges map[ratelimit.Bucket]pendingCharge
}

type pendingCharge struct {
	requests int
	expires  time.Time // when all of it has decayed
}

const (
	pendingShards = 64
	// maxPending is the bound of a pending charge, in bursts of this replica's
	// share: one burst at once, and another until the bucket is full in the
	// store.
	maxPending = 2
	// evictionSamples is the number of charges that are examined for one to
	// evict. The order of a map is random, so all are examined in time.
	evictionSamples = 8
)

func newPendingCharges(maxBuckets, replicas int) *pendingCharges {
	d := &pendingCharges{maxBuckets: max(maxBuckets/pendingShards, 1), replicas: max(replicas, 1)}
	for i := range d.shards {
		d.shards[i].charges = map[ratelimit.Bucket]pendingCharge{}
	}
	return d
}

func (d *pendingCharges) shard(b *ratelimit.Bucket) *pendingShard {
	return &d.shards[b[15]%pendingShards]
}

// add adds n requests of the limit's bucket. answered is when the store last
// answered. If there are too many buckets, some of them are not charged.
func (d *pendingCharges) add(now, answered time.Time, limit *ratelimit.Limit, n int) {
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
	begins := answered.Add(refillTime(limit.Rate, limit.Rate.EffectiveBurst())) // when the charge begins to decay
	switch {
	case begins.After(now):
		one.expires = begins.Add(refillTime(share, left))
	case one.expires.Before(now):
		one.expires = now
	}
	one.requests = left + n
	one.expires = one.expires.Add(refillTime(share, n))
	if bound := maxPending * share.EffectiveBurst(); one.requests > bound {
		one.expires = one.expires.Add(-refillTime(share, one.requests-bound))
		one.requests = bound
	}
	s.charges[limit.Bucket] = one
}

// take moves each limit's pending charges into it.
func (d *pendingCharges) take(now time.Time, limits []ratelimit.Limit) {
	if d.buckets.Load() == 0 {
		return
	}
	for i := range limits {
		limits[i].Deferred = d.takeOne(now, &limits[i])
	}
}

func (d *pendingCharges) takeOne(now time.Time, limit *ratelimit.Limit) int {
	s := d.shard(&limit.Bucket)
	s.mu.Lock()
	defer s.mu.Unlock()
	one, there := s.charges[limit.Bucket]
	if !there {
		return 0
	}
	left := d.remaining(&one, limit.Rate, now)
	n := min(left, ratelimit.MaxDeferred)
	if one.requests = left - n; one.requests > 0 {
		s.charges[limit.Bucket] = one
		return n
	}
	d.remove(s, limit.Bucket)
	return n
}

// remaining returns how many of its requests have not decayed, rounded up.
func (d *pendingCharges) remaining(one *pendingCharge, rate ratelimit.Rate, now time.Time) int {
	step := max(refillTime(rate.Share(d.replicas), 1), 1)
	return min(one.requests, max(int(math.Ceil(float64(one.expires.Sub(now))/float64(step))), 0))
}

// refillTime returns how long a bucket takes to allow n more requests.
func refillTime(rate ratelimit.Rate, n int) time.Duration {
	const longest = float64(2 * maxPending * authz.MaxRefill)
	return time.Duration(min(float64(rate.Period)/float64(rate.Count)*float64(n), longest))
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

func (d *pendingCharges) remove(s *pendingShard, b ratelimit.Bucket) {
	if _, there := s.charges[b]; there {
		delete(s.charges, b)
		d.buckets.Add(-1)
	}
}

func (d *pendingCharges) reset(buckets []ratelimit.Bucket) {
	for i := range buckets {
		s := d.shard(&buckets[i])
		s.mu.Lock()
		d.remove(s, buckets[i])
		s.mu.Unlock()
	}
}
