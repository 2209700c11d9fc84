package ratelimit

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// MemoryConfig bounds the size of a Memory and sets its clock.
type MemoryConfig struct {
	// Buckets is the minimum number of buckets that are kept, within one in ten
	// thousand; 0 means a million. Each takes 80 bytes, which are allocated as
	// needed.
	Buckets int
	// Start is the time that all others are measured from. If it comes from
	// time.Now, the monotonic clock is used, and setting the wall clock changes
	// nothing. The zero Start means 1970, and the wall clock is used.
	Start time.Time
}

// Memory is the Store of one process. It counts exactly. It is safe for
// concurrent use.
//
// When the table is full, it evicts the bucket that would refill first, of the
// set of sixteen that the new bucket belongs to. An attacker who invents
// millions of subjects can therefore only evict subjects that used less of
// their limit than his did, never one near its limit. Keep subjects that a
// client can invent, such as addresses, in a separate Memory.
type Memory struct {
	seed   maphash.Seed
	start  time.Time
	shards []shard
	spread uint // bits of a hash that select the shard
}

type shard struct {
	mu    sync.Mutex
	table table
	_     [64]byte // puts the next shard's lock in another cache line
}

const (
	defaultBuckets = 1_000_000
	maxSpread      = 8
	perShard       = 256 // minimum of buckets per shard; fewer buckets get fewer shards
)

// NewMemory returns an empty store.
func NewMemory(cfg MemoryConfig) (*Memory, error) {
	if cfg.Buckets < 0 || cfg.Buckets > 1<<30 {
		return nil, fmt.Errorf("ratelimit: %d buckets are out of bounds", cfg.Buckets)
	}
	if cfg.Buckets == 0 {
		cfg.Buckets = defaultBuckets
	}
	if cfg.Start.IsZero() {
		cfg.Start = time.Unix(0, 0)
	}
	m := &Memory{seed: maphash.MakeSeed(), start: cfg.Start}
	for m.spread < maxSpread && cfg.Buckets > perShard<<m.spread {
		m.spread++
	}
	m.shards = make([]shard, 1<<m.spread)
	for i := range m.shards {
		// A set is filled to 2/5 on average, so hardly any overflows.
		m.shards[i].table.maxSets = (5*cfg.Buckets/2/len(m.shards) + ways) / ways
	}
	return m, nil
}

// micros returns the time as cells store it. It is positive even for times
// decades before the start, so the zero cell has always expired.
func (m *Memory) micros(now time.Time) int64 { return 1<<50 + now.Sub(m.start).Microseconds() }

// hash selects the shard by its lowest bits and the set by its highest. It has
// a seed of its own, so that a client who knows the key of the buckets cannot
// predict it.
func (m *Memory) hash(b *Bucket) uint64 { return maphash.Comparable(m.seed, *b) }

func (m *Memory) index(hash uint64) int { return int(hash & (1<<m.spread - 1)) }

// Take implements Store. It does not block, and allocates only when the table
// grows.
func (m *Memory) Take(_ context.Context, now time.Time, limits []Limit, results []Result) (int, error) {
	return m.take(now, limits, results, true)
}

// Peek implements Store.
func (m *Memory) Peek(_ context.Context, now time.Time, limits []Limit, results []Result) (int, error) {
	return m.take(now, limits, results, false)
}

// candidate is one limit while its request is decided.
type candidate struct {
	params   Params
	hash     uint64
	tat      Interval
	applied  int
	admitted bool
}

func (m *Memory) take(now time.Time, limits []Limit, results []Result, charge bool) (int, error) {
	if err := CheckLimits(limits, results); err != nil {
		return NotRefused, err
	}
	var buf [MaxLimits]candidate
	all := buf[:len(limits)]
	for i := range all {
		if err := limits[i].Rate.Validate(); err != nil {
			return NotRefused, err
		}
		all[i].params.Set(limits[i].Rate)
		all[i].hash = m.hash(&limits[i].Bucket)
	}
	refuses := m.decide(m.micros(now), limits, all, charge)
	for i := range all {
		all[i].params.Report(&results[i], all[i].tat, all[i].admitted)
		results[i].Applied = all[i].applied
	}
	if refuses {
		return Refused(limits, results), nil
	}
	return NotRefused, nil
}

// decide tests all limits, charges them unless one refuses, and stores the TATs
// in all.
func (m *Memory) decide(now int64, limits []Limit, all []candidate, charge bool) (refuses bool) {
	held := m.lock(all)
	for i := range all {
		a := &all[i]
		a.tat = m.tat(a, &limits[i].Bucket, now)
		for charge && a.applied < limits[i].Deferred && a.params.Allows(a.tat) {
			m.charge(a, &limits[i].Bucket, now)
			a.applied++
		}
		a.admitted = a.params.Allows(a.tat)
		refuses = refuses || !a.admitted && !limits[i].Shadow
	}
	if charge && !refuses {
		for i := range all {
			if all[i].admitted {
				m.charge(&all[i], &limits[i].Bucket, now)
			}
		}
	}
	m.unlock(&held)
	return refuses
}

func (m *Memory) tat(a *candidate, b *Bucket, now int64) Interval {
	c := m.shards[m.index(a.hash)].table.find(b, a.hash)
	if c == nil {
		return Interval{}
	}
	tat, changed := a.params.tat(Interval{c.tat, int64(c.part)}, c.interval, now)
	if changed {
		*c = cell{now + tat.Micros, uint32(tat.Part), a.params.IntervalMicros}
	}
	return tat
}

func (m *Memory) charge(a *candidate, b *Bucket, now int64) {
	a.tat = a.params.Charge(a.tat)
	t := &m.shards[m.index(a.hash)].table
	c := t.find(b, a.hash) // look up again: adding another of the request's buckets may have moved it
	if c == nil {
		c = t.add(b, a.hash, now, m.hash)
	}
	*c = cell{now + a.tat.Micros, uint32(a.tat.Part), a.params.IntervalMicros}
}

// Charge charges each limit whose bucket has space, independently of the
// others. The rates must be valid.
func (m *Memory) Charge(now time.Time, limits []Limit) {
	at := m.micros(now)
	for i := range limits {
		a := candidate{hash: m.hash(&limits[i].Bucket)}
		a.params.Set(limits[i].Rate)
		s := &m.shards[m.index(a.hash)]
		s.mu.Lock()
		if a.tat = m.tat(&a, &limits[i].Bucket, at); a.params.Allows(a.tat) {
			m.charge(&a, &limits[i].Bucket, at)
		}
		s.mu.Unlock()
	}
}

// shardSet is the set of shards that a request locks, each once and in
// ascending order.
type shardSet struct {
	index [MaxLimits]uint8
	n     int
}

func (m *Memory) lock(all []candidate) (held shardSet) {
	for i := range all {
		held.insert(uint8(m.index(all[i].hash)))
	}
	for _, i := range held.index[:held.n] {
		m.shards[i].mu.Lock()
	}
	return held
}

func (m *Memory) unlock(held *shardSet) {
	for _, i := range held.index[:held.n] {
		m.shards[i].mu.Unlock()
	}
}

func (s *shardSet) insert(index uint8) {
	i := s.n
	for i > 0 && s.index[i-1] > index {
		i--
	}
	if i > 0 && s.index[i-1] == index {
		return
	}
	copy(s.index[i+1:], s.index[i:s.n])
	s.index[i] = index
	s.n++
}

// Reset implements Store.
func (m *Memory) Reset(_ context.Context, buckets ...Bucket) error {
	for i := range buckets {
		hash := m.hash(&buckets[i])
		s := &m.shards[m.index(hash)]
		s.mu.Lock()
		if c := s.table.find(&buckets[i], hash); c != nil {
			*c = cell{}
		}
		s.mu.Unlock()
	}
	return nil
}

// MemoryStats describes what a Memory holds. Evicted counts the buckets that
// were evicted before they were full, since the start. If it is above 0, the
// Memory is too small.
type MemoryStats struct {
	Buckets int
	Evicted uint64
}

// Stats reads every bucket, one shard at a time. That takes some milliseconds
// for a million.
func (m *Memory) Stats(now time.Time) (sum MemoryStats) {
	at := m.micros(now)
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		sum.Buckets += s.table.used(at)
		sum.Evicted += s.table.evicted
		s.mu.Unlock()
	}
	return sum
}
