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
	p := &pendingCharges{maxBuckets: max(maxBuckets/pendingShards, 1), replicas: max(replicas, 1)}
	for i := range p.shards {
		p.shards[i].charges = map[ratelimit.Bucket]pendingCharge{}
	}
	return p
}

func (p *pendingCharges) shard(b *ratelimit.Bucket) *pendingShard {
	return &p.shards[b[15]%pendingShards]
}

// add adds n requests of the limit's bucket. answered is when the store last
// answered. If there are too many buckets, some of them are not charged.
func (p *pendingCharges) add(now, answered time.Time, limit *ratelimit.Limit, n int) {
	s := p.shard(&limit.Bucket)
	s.mu.Lock()
	defer s.mu.Unlock()
	charge, there := s.charges[limit.Bucket]
	if !there && len(s.charges) >= p.maxBuckets && !p.evict(s, now) {
		return
	}
	if !there {
		p.buckets.Add(1)
	}
	share, left := limit.Rate.Share(p.replicas), p.remaining(&charge, limit.Rate, now)
	begins := answered.Add(refillTime(limit.Rate, limit.Rate.EffectiveBurst())) // when the charge begins to decay
	switch {
	case begins.After(now):
		charge.expires = begins.Add(refillTime(share, left))
	case charge.expires.Before(now):
		charge.expires = now
	}
	charge.requests = left + n
	charge.expires = charge.expires.Add(refillTime(share, n))
	if bound := maxPending * share.EffectiveBurst(); charge.requests > bound {
		charge.expires = charge.expires.Add(-refillTime(share, charge.requests-bound))
		charge.requests = bound
	}
	s.charges[limit.Bucket] = charge
}

// take moves each limit's pending charges into it.
func (p *pendingCharges) take(now time.Time, limits []ratelimit.Limit) {
	if p.buckets.Load() == 0 {
		return
	}
	for i := range limits {
		limits[i].Deferred = p.takeOne(now, &limits[i])
	}
}

// takeOne removes the pending charge of the limit's bucket, as much as one request can
// be charged, and returns how much that is.
func (p *pendingCharges) takeOne(now time.Time, limit *ratelimit.Limit) int {
	s := p.shard(&limit.Bucket)
	s.mu.Lock()
	defer s.mu.Unlock()
	charge, there := s.charges[limit.Bucket]
	if !there {
		return 0
	}
	left := p.remaining(&charge, limit.Rate, now)
	n := min(left, ratelimit.MaxDeferred)
	if charge.requests = left - n; charge.requests > 0 {
		s.charges[limit.Bucket] = charge
		return n
	}
	p.remove(s, limit.Bucket)
	return n
}

// remaining returns how many requests of the charge have not decayed, rounded up.
func (p *pendingCharges) remaining(charge *pendingCharge, rate ratelimit.Rate, now time.Time) int {
	step := max(refillTime(rate.Share(p.replicas), 1), 1)
	return min(charge.requests, max(int(math.Ceil(float64(charge.expires.Sub(now))/float64(step))), 0))
}

// refillTime returns how long a bucket takes to allow n more requests.
func refillTime(rate ratelimit.Rate, n int) time.Duration {
	const longest = float64(2 * maxPending * authz.MaxRefill)
	return time.Duration(min(float64(rate.Period)/float64(rate.Count)*float64(n), longest))
}

// evict removes a charge that has decayed, if it finds one, and reports whether it did.
func (p *pendingCharges) evict(s *pendingShard, now time.Time) bool {
	examined := 0
	for b, charge := range s.charges {
		if !charge.expires.After(now) {
			p.remove(s, b)
			return true
		}
		if examined++; examined == evictionSamples {
			break
		}
	}
	return false
}

func (p *pendingCharges) remove(s *pendingShard, b ratelimit.Bucket) {
	if _, there := s.charges[b]; there {
		delete(s.charges, b)
		p.buckets.Add(-1)
	}
}

func (p *pendingCharges) reset(buckets []ratelimit.Bucket) {
	for i := range buckets {
		s := p.shard(&buckets[i])
		s.mu.Lock()
		p.remove(s, buckets[i])
		s.mu.Unlock()
	}
}
