package keyindex

import "sync/atomic"

// rows holds the current row of every slot, some hundred bytes each, in memory
// that the garbage collector need not walk. One goroutine puts rows in; any
// number read them, without locks.
//
// A slot is one word that says where its row is. Putting a row in writes its
// bytes to a place that is not read yet and then changes that word, so a reader
// sees the old row or the new one. A place is never used again for another
// row: a slot whose word is the same has the same row.
type rows struct {
	slots atomic.Pointer[[]*slotChunk]
	slabs atomic.Pointer[[][]byte] // an emptied one is nil; its number does not come again
	count uint32                   // of slots in use

	// Of each slab, how many bytes are still some slot's row. The writer's own.
	live []int
	free int // where the next row goes in the last slab
}

const (
	slotChunkLen = 8192
	firstSlab    = 16 << 10
	slabSize     = firstSlab << slabDoublings

	slabDoublings = 9
)

type slotChunk [slotChunkLen]atomic.Uint64

// rowRef is where a row is: the slab's number + 1, and the offset in it. Zero is
// nowhere.
type rowRef uint64

func rowRefOf(slab, offset int) rowRef { return rowRef(uint64(slab+1)<<32 | uint64(offset)) }
func (p rowRef) slab() int             { return int(p>>32) - 1 }
func (p rowRef) offset() int           { return int(uint32(p)) }

func newRows() *rows {
	r := &rows{}
	r.slots.Store(&[]*slotChunk{})
	r.slabs.Store(&[][]byte{})
	return r
}

// word returns the word of a slot, which holds the place of its row.
func (r *rows) word(slot uint32) *atomic.Uint64 {
	return &(*r.slots.Load())[slot/slotChunkLen][slot%slotChunkLen]
}

// get returns the slot's row and its place, which identifies that row.
func (r *rows) get(slot uint32) (row, rowRef) {
	word := r.word(slot)
	for {
		p := rowRef(word.Load())
		if row := r.at(p); row != nil {
			return row, p
		}
		// The slab was emptied since: the row has a new place.
	}
}

// at returns the row at a place, nil if its slab was emptied.
func (r *rows) at(p rowRef) row {
	slab := (*r.slabs.Load())[p.slab()]
	if slab == nil {
		return nil
	}
	return rowIn(slab, p.offset())
}

// add makes a slot, which has no row yet and must get one before it is found.
func (r *rows) add() uint32 {
	slot := r.count
	if slot%slotChunkLen == 0 {
		chunks := append([]*slotChunk(nil), *r.slots.Load()...)
		chunks = append(chunks, new(slotChunk))
		r.slots.Store(&chunks)
	}
	r.count++
	return slot
}

// put makes the bytes the slot's row.
func (r *rows) put(slot uint32, encoded row) {
	p := r.write(encoded)
	word := r.word(slot)
	old := rowRef(word.Load())
	word.Store(uint64(p))
	if old != 0 {
		r.release(old)
	}
}

// write copies a row to a place of its own.
func (r *rows) write(encoded row) rowRef {
	slabs := *r.slabs.Load()
	last := len(slabs) - 1
	if last < 0 || r.free+len(encoded) > len(slabs[last]) {
		slabs = append([][]byte(nil), slabs...)
		slab := make([]byte, max(min(firstSlab<<min(len(slabs), slabDoublings), slabSize), len(encoded)))
		hugePages(slab)
		slabs = append(slabs, slab)
		r.slabs.Store(&slabs)
		r.live = append(r.live, 0)
		r.free = 0
		last++
	}
	p := rowRefOf(last, r.free)
	copy(slabs[last][r.free:], encoded)
	r.free += len(encoded)
	r.live[last] += len(encoded)
	return p
}

// release gives up a row's bytes, and its slab when less than half of that is
// still in use.
func (r *rows) release(p rowRef) {
	i := p.slab()
	slab := (*r.slabs.Load())[i]
	r.live[i] -= len(rowIn(slab, p.offset()))
	if i < len(r.live)-1 && r.live[i] < len(slab)/2 {
		r.empty(i)
	}
}

// empty moves the live rows of a slab to the end and drops the slab. A reader
// that has a row of it keeps it for as long as needed.
func (r *rows) empty(i int) {
	slab := (*r.slabs.Load())[i]
	for offset := 0; offset+rowHead <= len(slab); {
		encoded := rowIn(slab, offset)
		if len(encoded) == 0 {
			break
		}
		if word := r.word(encoded.slot()); rowRef(word.Load()) == rowRefOf(i, offset) {
			word.Store(uint64(r.write(encoded)))
		}
		offset += len(encoded)
	}
	r.live[i] = 0
	slabs := append([][]byte(nil), *r.slabs.Load()...)
	slabs[i] = nil
	r.slabs.Store(&slabs)
}

// each hands every slot's row to visit. Rows put in meanwhile may be seen or not.
func (r *rows) each(visit func(row)) {
	for _, chunk := range *r.slots.Load() {
		for i := range chunk {
			p := rowRef(chunk[i].Load())
			if p == 0 {
				continue
			}
			encoded := r.at(p)
			for encoded == nil {
				encoded = r.at(rowRef(chunk[i].Load()))
			}
			visit(encoded)
		}
	}
}
