package apikey

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"

	"keyward/authz"
)

// Names of the hash functions, as in the header of a file and in imported
// hashes.
const (
	HashSHA256     = "sha256"
	HashHMACSHA256 = "hmac-sha256"
)

// Hasher computes the digests of keys. A key is random, so a fast hash is safe.
// It is safe for concurrent use.
type Hasher struct {
	peppered bool
	pepperID string
	states   sync.Pool // of *hashState
}

// hashState is the memory of one computation, which later ones reuse.
type hashState struct {
	hash hash.Hash
	text []byte
	sum  []byte
}

// NewHasher returns a Hasher that uses HMAC-SHA-256 under the pepper, or
// SHA-256 if the pepper is empty.
func NewHasher(pepper authz.Secret) *Hasher {
	secret := []byte(pepper.Reveal())
	h := &Hasher{peppered: len(secret) > 0}
	if h.peppered {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(pepperLabel))
		h.pepperID = hex.EncodeToString(mac.Sum(nil))[:pepperIDLen]
	}
	h.states.New = func() any {
		s := &hashState{text: make([]byte, 0, 128), sum: make([]byte, 0, sha256.Size)}
		if h.peppered {
			s.hash = hmac.New(sha256.New, secret)
		} else {
			s.hash = sha256.New()
		}
		return s
	}
	return h
}

// Digest returns the digest of a key. Once warm it does not allocate
// (sha256.Sum256 does, if it is compiled with a profile).
func (h *Hasher) Digest(key string) Digest {
	s := h.states.Get().(*hashState)
	s.text = append(s.text[:0], key...)
	s.hash.Reset()
	s.hash.Write(s.text)
	s.sum = s.hash.Sum(s.sum[:0])
	d := Digest(s.sum)
	clear(s.text)
	h.states.Put(s)
	return d
}

// Name returns "sha256" or "hmac-sha256".
func (h *Hasher) Name() string {
	if h.peppered {
		return HashHMACSHA256
	}
	return HashSHA256
}

// PepperID returns an id of the pepper that reveals nothing about it. It is
// empty without a pepper.
func (h *Hasher) PepperID() string { return h.pepperID }
