package jwks

import (
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"strings"

	"keyward/authz"
)

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
