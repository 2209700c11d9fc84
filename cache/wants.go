package cache

import "encoding/binary"

// Wants tells whether to Put a value that is cheap to make, and that Get did not
// find, is worth it: where that would push another one out, only if Wants was
// asked about the key a little before, see [Doorkeeper]. Two who ask at once may
// both be told of the last place.
func (c *Cache[V]) Wants(key *Key) bool {
	return int(c.shard(key).held.Load()) < c.perShard || c.turnedAway.Knows(binary.LittleEndian.Uint64(key[:]))
}
