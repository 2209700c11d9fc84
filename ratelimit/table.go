package ratelimit

import (
	"encoding/binary"
	"math/bits"

	"keyward/authz"
)

// table keeps a cell for each of many buckets, in sets of a fixed size. A
// bucket is in the set that its hash selects, or nowhere. The table grows by
// doubling up to its maximum and never shrinks. It holds no pointers, so the
// garbage collector does not scan it.
type table struct {
	sets    []set
	maxSets int // maximum number of sets
	evicted uint64
}

const ways = 16

type set struct {
	second, first [ways]uint64 // halves of the buckets; second is compared first, because it differs more often
	cells         [ways]cell
}

// cell is the state of a bucket. An expired cell is equivalent to none, and the
// next bucket that needs one overwrites it; so no clean-up is needed.
type cell struct {
	tat      int64 // when the bucket is full again, see Memory.micros
	part     uint32
	interval float32
}

// expired reports whether the bucket is full again. A time further ahead than a
// bucket can have was stored before the clock went back; it counts as expired.
func (c *cell) expired(now int64) bool {
	return uint64(c.tat-now)-1 >= uint64(authz.MaxRefill.Microseconds())
}

func halves(b *Bucket) (first, second uint64) {
	return binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])
}

func (t *table) set(hash uint64) *set {
	i, _ := bits.Mul64(hash, uint64(len(t.sets)))
	return &t.sets[i]
}

// find returns the bucket's cell, nil if there is none.
func (t *table) find(b *Bucket, hash uint64) *cell {
	if len(t.sets) == 0 {
		return nil
	}
	first, second := halves(b)
	s := t.set(hash)
	for i := range s.second {
		if s.second[i] == second && s.first[i] == first {
			return &s.cells[i]
		}
	}
	return nil
}

// add returns a cell for a bucket that has none. If its set is full, the table
// grows. If the table cannot grow, the bucket that would have been full first
// is evicted. Cells that find returned before are no longer valid.
func (t *table) add(b *Bucket, hash uint64, now int64, rehash func(*Bucket) uint64) *cell {
	for len(t.sets) == 0 || !t.set(hash).hasSpace(now) {
		if !t.grow(now, rehash) {
			break
		}
	}
	return t.put(b, hash, now)
}

func (s *set) hasSpace(now int64) bool {
	for i := range s.cells {
		if s.cells[i].expired(now) {
			return true
		}
	}
	return false
}

// put overwrites an expired cell of the bucket's set, or else the one that
// expires first.
func (t *table) put(b *Bucket, hash uint64, now int64) *cell {
	s, best := t.set(hash), 0
	for i := range s.cells {
		if s.cells[i].expired(now) {
			best = i
			break
		}
		if s.cells[i].tat < s.cells[best].tat {
			best = i
		}
	}
	if !s.cells[best].expired(now) {
		t.evicted++
	}
	s.first[best], s.second[best] = halves(b)
	s.cells[best] = cell{}
	return &s.cells[best]
}

// grow doubles the table and drops expired cells. It returns false if the table
// has its maximum size.
func (t *table) grow(now int64, rehash func(*Bucket) uint64) bool {
	if len(t.sets) == t.maxSets {
		return false
	}
	n := t.maxSets
	for n > 2*len(t.sets)+1 { // so that the last step is a doubling too
		n = (n + 1) / 2
	}
	old := t.sets
	t.sets = make([]set, n)
	for i := range old {
		for j := range old[i].cells {
			if c := &old[i].cells[j]; !c.expired(now) {
				var b Bucket
				binary.LittleEndian.PutUint64(b[:8], old[i].first[j])
				binary.LittleEndian.PutUint64(b[8:], old[i].second[j])
				*t.put(&b, rehash(&b), now) = *c
			}
		}
	}
	return true
}

// used counts the cells that have not expired.
func (t *table) used(now int64) (n int) {
	for i := range t.sets {
		for j := range t.sets[i].cells {
			if !t.sets[i].cells[j].expired(now) {
				n++
			}
		}
	}
	return n
}
