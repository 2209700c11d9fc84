package ratelimit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/maphash"
)

// Bucket names a count. It is a keyed hash, so nobody can tell from it whose
// count it is. Its first half is the same for all buckets of an owner, which
// puts them on one node of a Redis cluster.
type Bucket [16]byte

// Owner is who has buckets: a principal, a route, an address.
type Owner struct{ first, second uint64 }

// Keyer makes buckets.
type Keyer struct {
	seeds [2]maphash.Seed
	key   []byte // nil: the seeds
}

const minKey = 16

// NewKeyer returns one whose buckets are the same wherever the key is; it takes
// 16 bytes at least, random ones. Without a key they are this Keyer's alone, and
// cheaper: enough for counts that no other process shares.
func NewKeyer(key []byte) (*Keyer, error) {
	if key != nil && len(key) < minKey {
		return nil, errors.New("ratelimit: the key for buckets must have 16 bytes or more")
	}
	k := &Keyer{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	if key != nil {
		sum := sha256.Sum256(append([]byte("keyward rate limits\x00"), key...))
		k.key = sum[:]
	}
	return k, nil
}

// Owner is who is meant by the parts, of which the first should say of what
// kind the others are. A key is owned by its id, so rotating it changes nothing.
func (k *Keyer) Owner(parts ...string) Owner {
	if k.key != nil {
		first, second := k.digest(Owner{}, parts)
		return Owner{first, second}
	}
	return Owner{chain(k.seeds[0], 0, parts), chain(k.seeds[1], 0, parts)}
}

// Bucket is the owner's under that limit.
func (k *Keyer) Bucket(owner Owner, limit ...string) (b Bucket) {
	binary.BigEndian.PutUint64(b[:8], owner.first)
	second := uint64(0)
	if k.key != nil {
		second, _ = k.digest(owner, limit)
	} else {
		second = chain(k.seeds[1], owner.second, limit)
	}
	binary.BigEndian.PutUint64(b[8:], second)
	return b
}

// chain adds the parts' hashes up, each in its own power of an odd number. The
// hashes are secret and those of different parts are independent, so no two lists of parts
// come out the same but by accident.
func chain(seed maphash.Seed, sum uint64, parts []string) uint64 {
	const odd = 0x9e3779b97f4a7c15
	for _, part := range parts {
		sum = (sum+1)*odd + maphash.String(seed, part)
	}
	return sum
}

// digest is SHA-256 under the key: of a block without the end that would let
// anybody go on from it.
func (k *Keyer) digest(owner Owner, parts []string) (first, second uint64) {
	var room [256]byte
	text := append(room[:0], k.key...)
	text = binary.BigEndian.AppendUint64(text, owner.first)
	text = binary.BigEndian.AppendUint64(text, owner.second)
	for _, part := range parts {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])
}
