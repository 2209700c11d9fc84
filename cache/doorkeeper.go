package cache

import "sync/atomic"

// Doorkeeper tells of hashes whether they were shown to it a little before. It
// is for what holds so many things and no more: of those that each come once in a
// long while none is worth the place of another, and to keep them in turn costs
// more than to do without. It remembers a few bits of each hash, in a place where
// another one may take over. (A small part of TinyLFU, Einziger, Friedman and
// Manes 2017.) Safe for use by many goroutines.
type Doorkeeper struct{ marks []atomic.Uint32 }

// NewDoorkeeper makes one that remembers about so many hashes.
func NewDoorkeeper(size int) *Doorkeeper {
	return &Doorkeeper{make([]atomic.Uint32, max(size, 1))}
}

// Knows tells whether the hash is remembered, and remembers it.
func (d *Doorkeeper) Knows(hash uint64) bool {
	mark := &d.marks[hash%uint64(len(d.marks))]
	bits := uint32(hash>>32) | 1
	return mark.Load() == bits || mark.Swap(bits) == bits
}
