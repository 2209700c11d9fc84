package apikey

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"keyward/authz"
)

// Format is the format of a key's text.
type Format string

const (
	// FormatKeyward is a prefix, 32 random base62 characters and a checksum of
	// 6.
	FormatKeyward Format = "keyward"
	// FormatHex is 44 upper-case hexadecimal characters with neither prefix nor
	// checksum.
	FormatHex Format = "hex"
	// FormatRaw is an imported key in another format, or of which only the hash
	// is known.
	FormatRaw Format = "raw"
)

// MaxPrefix is the maximum length of a prefix, and HintLen the number of
// characters after the prefix that a hint shows.
const (
	MaxPrefix = 32
	HintLen   = 4
)

// TokenPrefix begins the codes of one-time links and the values of cookies, which are
// not keys: by it they are recognized where they do not belong, as in a log.
const TokenPrefix = "kwt_"

// UnprefixedLen is the length of a key of FormatKeyward after its prefix.
const UnprefixedLen = bodyLen + checksumLen

const (
	upperHex = "0123456789ABCDEF"
	bodyLen  = 32
	hexLen   = 44

	// minHinted is the minimum length of the part after the prefix for a hint
	// to show HintLen of its characters. For a shorter key they would reveal
	// too much.
	minHinted = 20
)

var errPrefix = errors.New("a key prefix is at most 32 characters of A-Z, a-z, 0-9, '_' and '-'")

// ValidatePrefix returns an error if prefix cannot be the prefix of a key. The
// empty prefix is valid.
func ValidatePrefix(prefix string) error {
	if len(prefix) > MaxPrefix {
		return errPrefix
	}
	for i := range len(prefix) {
		if c := prefix[i]; !inBase62(c) && c != '_' && c != '-' {
			return errPrefix
		}
	}
	return nil
}

// Generate returns a new key with 190 random bits (176 for FormatHex) from the
// random source, which must be crypto/rand.Reader outside of tests. A hex key
// has no prefix.
func Generate(rand io.Reader, prefix string, f Format) (authz.Secret, error) {
	switch f {
	case FormatKeyward:
		if err := ValidatePrefix(prefix); err != nil {
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

// WellFormed reports whether key can be a Keyward key with the prefix: it has
// the right length, alphabet and checksum. It does not allocate, so junk keys
// are cheap.
func WellFormed(key, prefix string) bool {
	if len(key) != len(prefix)+UnprefixedLen || !strings.HasPrefix(key, prefix) {
		return false
	}
	text, given := key[:len(key)-checksumLen], key[len(key)-checksumLen:]
	all, sum := byte(0), uint64(0) // sum is the number that given encodes, see checksum
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

// IsHex reports whether key has the form of FormatHex.
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

// Hint returns the part of a key that may be shown after the key was handed
// out: its prefix and four characters, or only the prefix of a short imported
// key.
func Hint(key, prefix string) string {
	rest, found := strings.CutPrefix(key, prefix)
	if !found {
		prefix, rest = "", key
	}
	if len(rest) < minHinted {
		return prefix
	}
	return prefix + rest[:HintLen]
}

// DetectFormat returns the format of an imported key.
func DetectFormat(key, prefix string) Format {
	switch {
	case WellFormed(key, prefix):
		return FormatKeyward
	case IsHex(key):
		return FormatHex
	default:
		return FormatRaw
	}
}
