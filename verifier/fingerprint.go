package verifier

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"keyward/cache"
)

// Fingerprints turns credentials into cache keys: an HMAC under a key that
// this process drew and nobody has, over everything that makes the credential
// what it is, each part with its length, so that no two mean the same bytes
// (Oathkeeper CVE-2026-33496).
type Fingerprints struct{ states sync.Pool }

type fingerprintState struct {
	mac  hash.Hash
	text []byte
	sum  [sha256.Size]byte
}

// NewFingerprints draws the key.
func NewFingerprints() *Fingerprints {
	var key [sha256.Size]byte
	_, _ = rand.Read(key[:]) // crypto/rand never fails
	return &Fingerprints{sync.Pool{New: func() any {
		return &fingerprintState{mac: hmac.New(sha256.New, key[:])}
	}}}
}

// Of returns the cache key of a credential: its kind, and its parts in order.
// It allocates nothing once warm.
func (f *Fingerprints) Of(kind string, parts ...string) cache.Key {
	s := f.states.Get().(*fingerprintState)
	s.text = appendPart(s.text[:0], kind)
	for _, part := range parts {
		s.text = appendPart(s.text, part)
	}
	s.mac.Reset()
	s.mac.Write(s.text)
	s.mac.Sum(s.sum[:0])
	sum := s.sum
	clear(s.text)
	f.states.Put(s)
	return sum
}

func appendPart(text []byte, part string) []byte {
	text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
	return append(text, part...)
}
