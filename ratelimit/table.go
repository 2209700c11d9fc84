package ratelimit

import (
	"encoding/binary"
	"math/bits"

	"keyward/authz"
)

// table keeps a cell for each of many buckets, in sets of a fixed size: a
// bucket is in the set that its hash says, or nowhere. It grows by doubling up
// to its most and never shrinks. It holds no pointer, so the collector does not
// look into it.
type table struct {
	sets    []set
	maxSets int // sets
	evicted uint64
}

const ways = 16

type set struct {
	second, first [ways]uint64 // halves of the buckets; the second tells more apart
	cells         [ways]cell
}

// cell is what is kept of a bucket. One whose time has come is as good as none,
// and gives way to the next that needs it; so nobody has to tidy up.
type cell struct {
	tat      int64 // microseconds: when the bucket is full again
	part     uint32
	interval float32
}

// expired reports whether the cell is of no use any more. One further ahead than a
// bucket can be is from before the clock went back.
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

// add returns a cell for a bucket that has none. Where its set is full the
// table grows, and where it can't, the bucket that would have
// been full first is evicted. A cell found before is good no longer.
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

// put overwrites an expired cell of the bucket's set, else the one that expires first.
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

// grow doubles the table and drops what has expired; false at its maximum.
func (t *table) grow(now int64, rehash func(*Bucket) uint64) bool {
	if len(t.sets) == t.maxSets {
		return false
	}
	n := t.maxSets
	for n > 2*len(t.sets)+1 { // so that the last step is a doubling, too
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

// used counts the cells that say something.
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
