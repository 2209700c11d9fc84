// Package fingerprint derives cache keys from credentials, so that a cache
// contains no secret and a dump of it is useless.
package fingerprint

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"keyward/cache"
)

// Hasher turns credentials into cache keys: an HMAC under a random key that
// never leaves this process. It covers every part of the credential, each with
// its length, so that no two credentials give the same input (Oathkeeper
// CVE-2026-33496).
type Hasher struct{ states sync.Pool }

type state struct {
	mac  hash.Hash
	text []byte
	sum  [sha256.Size]byte
}

// NewHasher returns a Hasher with a new key.
func NewHasher() *Hasher {
	var key [sha256.Size]byte
	_, _ = rand.Read(key[:]) // crypto/rand never fails
	return &Hasher{sync.Pool{New: func() any {
		return &state{mac: hmac.New(sha256.New, key[:])}
	}}}
}

// Sum returns the cache key of a credential, given its kind and its parts in
// order. It allocates nothing once warm.
func (h *Hasher) Sum(kind string, parts ...string) cache.Key {
	s := h.states.Get().(*state)
	s.text = appendPart(s.text[:0], kind)
	for _, part := range parts {
		s.text = appendPart(s.text, part)
	}
	s.mac.Reset()
	s.mac.Write(s.text)
	s.mac.Sum(s.sum[:0])
	sum := s.sum
	clear(s.text)
	h.states.Put(s)
	return sum
}

func appendPart(text []byte, part string) []byte {
	text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
	return append(text, part...)
}
