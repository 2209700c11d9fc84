package jwks

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Key is a verification key with the algorithms it may be used with. It is
// immutable.
type Key struct {
	id         string
	hasID      bool
	algorithms []string
	key        any
	keyDigest  [sha256.Size]byte // of the key alone
	thumbprint [sha256.Size]byte // of the key with its id and algorithms
}

// maxID bounds a key's id, in bytes.
const maxID = 255

// ID returns the key's id (kid), if it has one.
func (k *Key) ID() (string, bool) { return k.id, k.hasID }

// VerificationKey returns what golang-jwt takes: an *rsa.PublicKey, an
// *ecdsa.PublicKey, an ed25519.PublicKey, or a []byte for HMAC. It must not be
// changed.
func (k *Key) VerificationKey() any { return k.key }

// SupportsAlgorithm reports whether the key may verify signatures of the
// algorithm (RFC 7518 section 3.1, RFC 8037).
func (k *Key) SupportsAlgorithm(algorithm string) bool {
	return slices.Contains(k.algorithms, algorithm)
}

// parseKey returns the key of a JWK. The error says why it cannot be used here,
// and quotes nothing of it.
func parseKey(jwk map[string]any) (*Key, error) {
	id, hasID, ok := text(jwk, "kid")
	if !ok || hasID && (id == "" || len(id) > maxID) {
		return nil, fmt.Errorf("kid is not a text of 1 to %d bytes", maxID)
	}
	if err := checkUse(jwk); err != nil {
		return nil, err
	}
	m, err := parsePublicKey(jwk)
	if err != nil {
		return nil, err
	}
	algorithms := m.algorithms
	switch alg, pinned, ok := text(jwk, "alg"); {
	case !ok || pinned && !slices.Contains(algorithms, alg):
		return nil, fmt.Errorf("alg is not one that a %s key can have here: %s", m.kind, strings.Join(algorithms, ", "))
	case pinned:
		algorithms = []string{strings.Clone(alg)}
	}
	return newKey(strings.Clone(id), hasID, algorithms, m), nil
}

// newKey also computes the thumbprints. The parameters are numbers in their
// shortest form, so that a key has the same thumbprint however it was written.
func newKey(id string, hasID bool, algorithms []string, m publicKeyParams) *Key {
	k := &Key{id: id, hasID: hasID, algorithms: algorithms, key: m.key}
	parts := [][]byte{[]byte(m.kind)}
	k.keyDigest = digest(append(parts, m.parts...))
	named := []byte{0}
	if hasID {
		named[0] = 1
	}
	k.thumbprint = digest([][]byte{named, []byte(id), []byte(strings.Join(algorithms, " ")), k.keyDigest[:]})
	return k
}

// digest hashes the parts, each with its length.
func digest(parts [][]byte) [sha256.Size]byte {
	var all []byte
	for _, part := range parts {
		all = binary.BigEndian.AppendUint32(all, uint32(len(part)))
		all = append(all, part...)
	}
	defer clear(all) // a part may be a secret
	return sha256.Sum256(all)
}

var (
	errUse    = errors.New("use is not sig: the key is for something other than signatures")
	errKeyOps = errors.New("key_ops is not a list with verify and without repetitions")
)

// checkUse honours use and key_ops (RFC 7517 sections 4.2 and 4.3): each must
// allow verifying signatures, or be absent.
func checkUse(jwk map[string]any) error {
	if use, present, ok := text(jwk, "use"); !ok || present && use != "sig" {
		return errUse
	}
	v, present := jwk["key_ops"]
	if !present {
		return nil
	}
	ops, _ := v.([]any)
	verifies := false
	for i, op := range ops {
		name, ok := op.(string)
		if !ok || slices.Contains(ops[:i], op) {
			return errKeyOps
		}
		verifies = verifies || name == "verify"
	}
	if !verifies {
		return errKeyOps
	}
	return nil
}

// decodeBase64URL decodes base64url as RFC 7515 section 2 defines it, or with
// the padding that RFC 4648 section 5 has: no other characters, no trailing
// bits. Go's strict decoders still skip line breaks.
func decodeBase64URL(jwk map[string]any, name string) ([]byte, error) {
	encoded, present, ok := text(jwk, name)
	if !ok || !present || encoded == "" {
		return nil, fmt.Errorf("%s is not a text", name)
	}
	encoding := base64.RawURLEncoding
	if strings.HasSuffix(encoded, "=") { // some issuers pad, and the bytes are the same
		encoding = base64.URLEncoding
	}
	decoded, err := encoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return nil, fmt.Errorf("%s is not base64url", name)
	}
	return decoded, nil
}
