package jwks

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"keyward/authz"
)

var errPublished = errors.New("jwks: this is a key in PEM or a document with keys, which others may have and could sign with: set it as jwks_file, or make a random secret")

// isPublished reports whether the text is one in which keys are published: PEM,
// or a JWK.
func isPublished(text []byte) bool {
	var jwk struct {
		Keys, Kty json.RawMessage
	}
	return bytes.Contains(text, []byte("-----BEGIN ")) || json.Unmarshal(text, &jwk) == nil && (jwk.Keys != nil || jwk.Kty != nil)
}

// ParseSecret makes a set of one HMAC key, the text of a file without one
// trailing line break. It supports the algorithms whose hash is no longer than
// the key, as RFC 7518 section 3.2 demands, so it must have at least 32 bytes.
// The key has no id: the set returns it for any id that a token names.
func ParseSecret(secret authz.Secret) (*Set, error) {
	key := []byte(strings.TrimSuffix(secret.Reveal(), "\n"))
	if len(key) < sha256.Size {
		return nil, fmt.Errorf("jwks: a secret must have at least %d bytes", sha256.Size)
	}
	if len(key) > maxSize {
		return nil, errors.New("jwks: the secret is too large")
	}
	if isPublished(key) {
		return nil, errPublished
	}
	m := publicKeyParams{kind: "oct", key: key, parts: [][]byte{key}}
	m.algorithms = append(m.algorithms, "HS256")
	if len(key) >= sha512.Size384 {
		m.algorithms = append(m.algorithms, "HS384")
	}
	if len(key) >= sha512.Size {
		m.algorithms = append(m.algorithms, "HS512")
	}
	return &Set{keys: []*Key{newKey("", false, m.algorithms, m)}, ignoreKeyID: true}, nil
}
