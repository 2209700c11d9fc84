package cache

import (
	"encoding/binary"
	"time"
)

// Offer remembers the value as Put does; but where that would push another one
// out, only if the key was offered a little before, see [Doorkeeper]. It is for
// values that are cheap to make.
func (c *Cache[V]) Offer(key *Key, value V, now time.Time) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lru.Len() >= c.perShard && !s.lru.Contains(*key) && !c.turnedAway.Knows(binary.LittleEndian.Uint64(key[:])) {
		return
	}
	s.lru.Add(*key, entry[V]{value, now.Add(c.ttl).UnixNano()})
}
