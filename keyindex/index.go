package keyindex

import "sync/atomic"

// index finds the slots that may belong to a hash of 32 bits. One goroutine
// changes it while any number look things up, without locks: a cell is one
// word, and a bigger table takes the place of a full one in one step. It holds
// no pointers, so the garbage collector does not walk it.
//
// Two things may have the same hash: the caller compares what the slot holds.
type index struct {
	table atomic.Pointer[[]atomic.Uint64] // a power of two of cells
	used  int                             // cells that are not empty, tombstones included
	live  int
}

// A cell is the hash and the slot+1. Zero is empty, and a search ends there;
// a tombstone is what was removed, and a search goes on.
const (
	emptyCell  = 0
	tombstone  = 1<<32 - 1
	smallTable = 64
	maxSlots   = 1<<32 - 2
)

func cellOf(hash, slot uint32) uint64 { return uint64(hash)<<32 | uint64(slot+1) }

func newIndex() *index {
	x := &index{}
	cells := make([]atomic.Uint64, smallTable)
	x.table.Store(&cells)
	return x
}

// search starts looking for a hash.
func (x *index) search(hash uint32) search {
	cells := *x.table.Load()
	return search{cells: cells, hash: hash, at: int(hash) & (len(cells) - 1)}
}

// search steps through the slots that may belong to a hash.
type search struct {
	cells []atomic.Uint64
	hash  uint32
	at    int
}

func (s *search) next() (slot uint32, ok bool) {
	for {
		cell := s.cells[s.at].Load()
		if cell == emptyCell {
			return 0, false
		}
		s.at = (s.at + 1) & (len(s.cells) - 1)
		if uint32(cell>>32) == s.hash && cell != tombstone {
			return uint32(cell) - 1, true
		}
	}
}

// add lets the slot be found by hash.
func (x *index) add(hash, slot uint32) {
	cells := *x.table.Load()
	if x.used >= len(cells)/8*5 {
		cells = x.grow(cells)
	}
	put(cells, cellOf(hash, slot))
	x.used++
	x.live++
}

// remove undoes one add.
func (x *index) remove(hash, slot uint32) {
	cells := *x.table.Load()
	wanted := cellOf(hash, slot)
	for at := int(hash) & (len(cells) - 1); ; at = (at + 1) & (len(cells) - 1) {
		switch cells[at].Load() {
		case emptyCell:
			return
		case wanted:
			cells[at].Store(tombstone)
			x.live--
			return
		}
	}
}

// grow moves the live cells to a new table, which is bigger unless tombstones
// filled the old one. A search of the old one that goes on meanwhile finds in it
// what was there when it began.
func (x *index) grow(old []atomic.Uint64) []atomic.Uint64 {
	size := len(old)
	if x.live >= size/16*5 {
		size *= 2
	}
	cells := make([]atomic.Uint64, size)
	hugePages(cells)
	for i := range old {
		if cell := old[i].Load(); cell != emptyCell && cell != tombstone {
			put(cells, cell)
		}
	}
	x.used = x.live
	x.table.Store(&cells)
	return cells
}

func put(cells []atomic.Uint64, cell uint64) {
	at := int(cell>>32) & (len(cells) - 1)
	for cells[at].Load() != emptyCell {
		at = (at + 1) & (len(cells) - 1)
	}
	cells[at].Store(cell)
}
