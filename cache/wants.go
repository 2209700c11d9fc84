package cache

import "encoding/binary"

// Wants tells whether to Put a value that is cheap to make is worth it: where
// that would push another one out, only if Wants was asked about the key a
// little before, see [Doorkeeper].
func (c *Cache[V]) Wants(key *Key) bool {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lru.Len() < c.perShard || s.mayHold(key) && s.lru.Contains(*key) || c.turnedAway.Knows(binary.LittleEndian.Uint64(key[:]))
}
