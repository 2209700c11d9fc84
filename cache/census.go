package cache

import "encoding/binary"

// census counts a shard's entries by a few bits of their keys. Of a million keys
// in turn hardly one is in the cache, and to look for it there is to wait for
// memory; the census is small enough to be at hand, and mostly says no. A count
// that has come to its most stays, and says maybe ever after. (It counts on golang-lru's
// telling of evictions only when an entry goes, as it does since 2.0.7.)
type census struct{ counts []uint8 } // a power of two of them

// newCensus makes one for about so many entries: of the keys that have none it takes one in five for maybe one.
func newCensus(entries int) census {
	n := 1
	for n < 4*entries && n < 1<<16 {
		n *= 2
	}
	return census{make([]uint8, n)}
}

func (c *census) of(key *Key) *uint8 {
	return &c.counts[int(binary.LittleEndian.Uint16(key[24:]))&(len(c.counts)-1)]
}

// mayHold is false of a key that has no entry.
func (c *census) mayHold(key *Key) bool { return *c.of(key) > 0 }

func (c *census) enter(key *Key) {
	if n := c.of(key); *n < ^uint8(0) {
		*n++
	}
}

func (c *census) leave(key *Key) {
	if n := c.of(key); *n < ^uint8(0) {
		*n--
	}
}
