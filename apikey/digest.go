package apikey

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// Digest is the hash of a key, by which the key is found.
type Digest [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler: 64 lower-case hexadecimal
// digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if !ParseDigest(d, text) {
		return ErrDigest
	}
	return nil
}

// ErrDigest means a text that [ParseDigest] refuses.
var ErrDigest = errors.New("a hash is 64 lower-case hexadecimal digits")

// ParseDigest decodes 64 lower-case hexadecimal digits into d. It returns false
// for any other text. A hash has only one spelling, so equal hashes are also
// equal as text.
func ParseDigest(d *Digest, text []byte) bool {
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

// hexDigits has the value of each lower-case digit, and a value of 16 or more
// for every other byte.
var hexDigits = func() (values [256]byte) {
	for i := range values {
		values[i] = 0xf0
	}
	for i, c := range []byte("0123456789abcdef") {
		values[c] = byte(i)
	}
	return values
}()
