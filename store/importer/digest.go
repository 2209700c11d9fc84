package importer

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"keyward/apikey"
	"keyward/store"
)

var errDigest = errors.New("a hashed key is sha256: or hmac-sha256: and its 32 bytes, as 64 hexadecimal digits or as 43 or 44 characters of base64")

// readHashed reads the hash of a key, which must be of the kind that the store
// has.
func readHashed(hasher *apikey.Hasher) keyReader {
	return func(text []byte, p *store.KeyParams) (store.ImportedKey, error) {
		name, digest, found := strings.Cut(string(text), ":")
		if !found || name != apikey.HashSHA256 && name != apikey.HashHMACSHA256 {
			return store.ImportedKey{}, fmt.Errorf("%w: %w", store.ErrInvalid, errDigest)
		}
		if name != hasher.Name() {
			return store.ImportedKey{}, fmt.Errorf("%w: this file's keys are hashed with %s", store.ErrInvalid, hasher.Name())
		}
		key := store.ImportedKey{Format: apikey.FormatRaw, Prefix: p.Prefix, Hint: p.Prefix, Params: p}
		if !parseDigest(&key.Hash, digest) {
			return store.ImportedKey{}, fmt.Errorf("%w: %w", store.ErrInvalid, errDigest)
		}
		return key, nil
	}
}

// parseDigest reads a digest as other systems write it: in hexadecimal digits of
// either case, or in base64 (RFC 4648) of either alphabet, with or without its
// padding. The length shows which it is.
func parseDigest(d *apikey.Digest, text string) bool {
	if len(text) == hex.EncodedLen(len(d)) {
		_, err := hex.Decode(d[:], []byte(text))
		return err == nil
	}
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	length := encoding.EncodedLen(len(d))
	if len(text) == length+1 && text[length] == '=' {
		text = text[:length]
	}
	if len(text) != length {
		return false
	}
	n, err := encoding.Strict().Decode(d[:], []byte(text))
	return err == nil && n == len(d) // it skips line breaks
}
