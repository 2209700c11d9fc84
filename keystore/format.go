package keystore

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"keyward/authz"
)

// Format says which rule a key's text follows.
type Format string

const (
	// FormatKeyward is a prefix, 32 random base62 characters and a checksum of 6.
	FormatKeyward Format = "keyward"
	// FormatHex is 44 upper-case hexadecimal characters with neither prefix nor checksum.
	FormatHex Format = "hex"
	// FormatRaw is an imported key that follows no rule, or whose text nobody has seen.
	FormatRaw Format = "raw"
)

const (
	base62      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	upperHex    = "0123456789ABCDEF"
	bodyLen     = 32
	checksumLen = 6
	hexLen      = 44
	hintLen     = 4
	maxPrefix   = 32

	// minHinted is how long the part behind the prefix must be before four
	// of its characters may be shown: of a shorter key they would be too much.
	minHinted = 20
)

var errPrefix = errors.New("a key prefix is at most 32 characters of A-Z, a-z, 0-9, '_' and '-'")

// ValidPrefix tells why prefix can stand before no key. The empty one may.
func ValidPrefix(prefix string) error {
	if len(prefix) > maxPrefix {
		return errPrefix
	}
	for i := range len(prefix) {
		if c := prefix[i]; !inBase62(c) && c != '_' && c != '-' {
			return errPrefix
		}
	}
	return nil
}

// Generate makes a key of 190 bits (176 in hex) from the random source, which
// outside of tests is crypto/rand.Reader. A hex key has no prefix.
func Generate(rand io.Reader, prefix string, f Format) (authz.Secret, error) {
	switch f {
	case FormatKeyward:
		if err := ValidPrefix(prefix); err != nil {
			return authz.Secret{}, err
		}
		body, err := randomText(rand, base62, bodyLen)
		if err != nil {
			return authz.Secret{}, err
		}
		text := prefix + body
		sum := checksum(text)
		return authz.NewSecret(text + string(sum[:])), nil
	case FormatHex:
		text, err := randomText(rand, upperHex, hexLen)
		if err != nil {
			return authz.Secret{}, err
		}
		return authz.NewSecret(text), nil
	default:
		return authz.Secret{}, fmt.Errorf("no key is made in format %q", f)
	}
}

// randomText draws n characters, each of the alphabet's equally often: a byte
// beyond the last whole multiple of the alphabet's length is thrown away.
func randomText(rand io.Reader, alphabet string, n int) (string, error) {
	limit := 256 - 256%len(alphabet)
	text := make([]byte, 0, n)
	var drawn [64]byte
	for len(text) < n {
		if _, err := io.ReadFull(rand, drawn[:]); err != nil {
			return "", fmt.Errorf("drawing random bytes: %w", err)
		}
		for _, b := range drawn {
			if int(b) < limit && len(text) < n {
				text = append(text, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(text), nil
}

// WellFormed tells whether key can be one of ours under prefix: the length,
// the alphabet and the checksum. It allocates nothing, so junk costs nothing.
func WellFormed(key, prefix string) bool {
	if len(key) != len(prefix)+bodyLen+checksumLen || !strings.HasPrefix(key, prefix) {
		return false
	}
	text, given := key[:len(key)-checksumLen], key[len(key)-checksumLen:]
	all, sum := byte(0), uint64(0) // sum is the number that given writes, see checksum
	for i := range text[len(prefix):] {
		all |= valueBase62[text[len(prefix)+i]]
	}
	for i := range len(given) {
		value := valueBase62[given[i]]
		all |= value
		sum = sum*62 + uint64(value)
	}
	return all < noBase62 && sum == uint64(crc32IEEE(text))
}

// IsHex tells whether key has the form of a hex key.
func IsHex(key string) bool {
	if len(key) != hexLen {
		return false
	}
	for i := range len(key) {
		if c := key[i]; (c < '0' || c > '9') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// Hint is what may be shown of a key after it was handed out: its prefix and
// four characters, of a short imported key not even those.
func Hint(key, prefix string) string {
	rest, found := strings.CutPrefix(key, prefix)
	if !found {
		prefix, rest = "", key
	}
	if len(rest) < minHinted {
		return prefix
	}
	return prefix + rest[:hintLen]
}

// formatOf says which rule an imported key follows.
func formatOf(key, prefix string) Format {
	switch {
	case WellFormed(key, prefix):
		return FormatKeyward
	case IsHex(key):
		return FormatHex
	default:
		return FormatRaw
	}
}

// checksum is the CRC-32 (IEEE) of text in base 62, padded with '0'.
func checksum(text string) [checksumLen]byte {
	crc := crc32IEEE(text)
	var out [checksumLen]byte
	for i := range out {
		out[len(out)-1-i] = base62[crc%62]
		crc /= 62
	}
	return out
}

// inBase62 tells of the characters of base62.
func inBase62(c byte) bool { return valueBase62[c] < noBase62 }

// valueBase62 has each digit's value, and noBase62, a bit that no value has, for what is none.
var valueBase62 = func() (table [256]byte) {
	for i := range table {
		table[i] = noBase62
	}
	for value, c := range []byte(base62) {
		table[c] = byte(value)
	}
	return table
}()

const noBase62 = 1 << 6
