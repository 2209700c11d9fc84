package ratelimit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/maphash"
)

// Bucket identifies a count. It is a keyed hash, so it does not reveal its
// subject. Its first half is the same for all buckets of a subject, which
// places them on one node of a Redis cluster.
type Bucket [16]byte

// Subject identifies what is counted: a principal or an address.
type Subject struct{ first, second uint64 }

// BucketKeyer derives the buckets of subjects. It is safe for concurrent use.
type BucketKeyer struct {
	seeds [2]maphash.Seed
	key   []byte // nil: the seeds are used
}

const minKey = 16

// NewBucketKeyer returns a BucketKeyer. With a key, at least 16 random bytes,
// its buckets are the same in every process that has the key. Without a key,
// the buckets are valid for this BucketKeyer only. They are cheaper, and enough
// for counts that no other process shares.
func NewBucketKeyer(key []byte) (*BucketKeyer, error) {
	if key != nil && len(key) < minKey {
		return nil, errors.New("ratelimit: the key for buckets must have 16 bytes or more")
	}
	k := &BucketKeyer{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	if key != nil {
		sum := sha256.Sum256(append([]byte("keyward rate limits\x00"), key...))
		k.key = sum[:]
	}
	return k, nil
}

// Subject returns the subject that the parts identify. The first part should
// name the kind of the others. An API key is identified by its id, so that
// rotating it changes nothing.
func (k *BucketKeyer) Subject(parts ...string) Subject {
	if k.key != nil {
		first, second := k.digest(Subject{}, parts)
		return Subject{first, second}
	}
	return Subject{chain(k.seeds[0], 0, parts), chain(k.seeds[1], 0, parts)}
}

// Bucket returns the subject's bucket under the limit that the parts identify.
func (k *BucketKeyer) Bucket(subject Subject, limit ...string) (b Bucket) {
	binary.BigEndian.PutUint64(b[:8], subject.first)
	second := uint64(0)
	if k.key != nil {
		second, _ = k.digest(subject, limit)
	} else {
		second = chain(k.seeds[1], subject.second, limit)
	}
	binary.BigEndian.PutUint64(b[8:], second)
	return b
}

// chain adds the hashes of the parts to sum, each times another power of an odd
// number. The hashes are secret, and those of different parts are independent,
// so two lists of parts only have the same sum by chance.
func chain(seed maphash.Seed, sum uint64, parts []string) uint64 {
	const odd = 0x9e3779b97f4a7c15
	for _, part := range parts {
		sum = (sum+1)*odd + maphash.String(seed, part)
	}
	return sum
}

// digest returns the first 16 bytes of SHA-256 of the key and the parts.
// Cutting the rest off prevents length extension.
func (k *BucketKeyer) digest(subject Subject, parts []string) (first, second uint64) {
	var buf [256]byte
	text := append(buf[:0], k.key...)
	text = binary.BigEndian.AppendUint64(text, subject.first)
	text = binary.BigEndian.AppendUint64(text, subject.second)
	for _, part := range parts {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])
}
