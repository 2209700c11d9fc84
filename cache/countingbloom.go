package cache

import "encoding/binary"

// countingFilter is a counting Bloom filter of a shard's keys, with one hash: a
// few bits of the key. When a million different keys come, hardly any is in the
// cache, and each look-up there waits for memory. The filter is small enough to
// stay in the processor's cache, and rules out most of those keys. A counter
// that has reached its maximum stays there. The filter relies on golang-lru to
// report an eviction only when an entry goes, as it does since 2.0.7.
type countingFilter struct{ counts []uint8 } // the length is a power of two

// newCountingFilter returns a filter for about the given number of entries. Its
// false positive rate is one in five.
func newCountingFilter(entries int) countingFilter {
	n := 1
	for n < 4*entries && n < 1<<16 {
		n *= 2
	}
	return countingFilter{make([]uint8, n)}
}

func (f *countingFilter) counterOf(key *Key) *uint8 {
	return &f.counts[int(binary.LittleEndian.Uint16(key[24:]))&(len(f.counts)-1)]
}

// mightContain reports whether the key may have an entry. False is certain.
func (f *countingFilter) mightContain(key *Key) bool { return *f.counterOf(key) > 0 }

func (f *countingFilter) add(key *Key) {
	if n := f.counterOf(key); *n < ^uint8(0) {
		*n++
	}
}

func (f *countingFilter) remove(key *Key) {
	if n := f.counterOf(key); *n < ^uint8(0) {
		*n--
	}
}
