package cache

import (
	"encoding/binary"
	"sync/atomic"
)

// ShouldAdmit reports whether a missed key whose value is cheap to make is
// worth storing. It is true while the shard has space; once storing the value
// would evict an entry, only for a key that ShouldAdmit was asked for recently,
// see [Doorkeeper]. Concurrent callers may both be admitted to the last slot.
func (c *Cache[V]) ShouldAdmit(key *Key) bool {
	return int(c.shard(key).size.Load()) < c.perShard || c.doorkeeper.SeenRecently(binary.LittleEndian.Uint64(key[:]))
}

// Doorkeeper reports whether a hash was seen recently. A full cache uses it to
// reject keys that are seen only once in a long while: none of them is worth
// evicting another entry for, and storing each of them costs more than not
// caching them. It is the doorkeeper of TinyLFU (Einziger, Friedman and Manes
// 2017). It stores a few bits of each hash; collisions overwrite. It is safe
// for concurrent use.
type Doorkeeper struct{ marks []atomic.Uint32 }

// NewDoorkeeper returns a Doorkeeper that remembers about size hashes.
func NewDoorkeeper(size int) *Doorkeeper {
	return &Doorkeeper{make([]atomic.Uint32, max(size, 1))}
}

// SeenRecently reports whether the hash was seen recently, and remembers it.
func (d *Doorkeeper) SeenRecently(hash uint64) bool {
	mark := &d.marks[hash%uint64(len(d.marks))]
	bits := uint32(hash>>32) | 1
	return mark.Load() == bits || mark.Swap(bits) == bits
}
