package keystore

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"sync"

	"keyward/authz"
)

// Digest is a key's hash, by which it is found.
type Digest [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler: 64 lower-case hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if !parseDigest(d, text) {
		return errHash
	}
	return nil
}

// The names of the hashes, as a file's header and an imported hash have them.
const (
	hashPlain    = "sha256"
	hashPeppered = "hmac-sha256"
)

const (
	minPepper   = 16
	pepperLabel = "keyward pepper id"
	pepperIDLen = 8
)

// Hasher turns keys into digests. A key is random, so a fast hash is right.
type Hasher struct {
	peppered bool
	pepperID string
	states   sync.Pool // of *hashState
}

// hashState is what one computation needs, kept between computations.
type hashState struct {
	hash hash.Hash
	text []byte
	sum  []byte
}

// NewHasher makes a Hasher: HMAC-SHA-256 under the pepper, SHA-256 where the
// pepper is empty.
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

// Digest hashes a key. It may be called by many at once and allocates nothing
// once warm (sha256.Sum256 does, when it is compiled by a profile).
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

// Name is "sha256" or "hmac-sha256".
func (h *Hasher) Name() string {
	if h.peppered {
		return hashPeppered
	}
	return hashPlain
}

// PepperID tells one pepper from another without telling anything about it;
// it is empty where there is none.
func (h *Hasher) PepperID() string { return h.pepperID }

// ReadPepper reads a pepper: the file's bytes without one trailing newline, at
// least 16 of them.
func ReadPepper(file string) (authz.Secret, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return authz.Secret{}, fmt.Errorf("reading pepper: %w", err)
	}
	text, _ = bytes.CutSuffix(text, []byte("\n"))
	if len(text) < minPepper {
		return authz.Secret{}, fmt.Errorf("pepper file %q: a pepper has at least %d bytes", file, minPepper)
	}
	return authz.NewSecret(string(text)), nil
}

var errHash = errors.New("a hash is 64 lower-case hexadecimal digits")

// parseDigest reads 64 lower-case hexadecimal digits; one spelling, so that
// equal hashes are equal bytes in the file too.
func parseDigest(d *Digest, text []byte) bool {
	if len(text) != 2*len(d) {
		return false
	}
	bad := byte(0)
	for i := range d {
		high, low := hexDigits[text[2*i]], hexDigits[text[2*i+1]]
		bad |= high | low
		d[i] = high<<4 | low&0x0f
	}
	return bad < 16
}

// hexDigits has each digit's value, and something of 16 and above for what is none.
var hexDigits = func() (values [256]byte) {
	for i := range values {
		values[i] = 0xf0
	}
	for i, c := range []byte("0123456789abcdef") {
		values[c] = byte(i)
	}
	return values
}()
