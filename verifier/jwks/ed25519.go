package jwks

import (
	"bytes"

	"filippo.io/edwards25519"
)

// isEd25519Point reports whether the bytes are the canonical encoding (RFC 8032
// section 5.1.2) of a point of edwards25519 that is not of small order. Under a
// point of small order anyone can make signatures that crypto/ed25519 accepts.
func isEd25519Point(encoded []byte) bool {
	point, err := new(edwards25519.Point).SetBytes(encoded)
	if err != nil || !bytes.Equal(point.Bytes(), encoded) { // SetBytes takes other encodings too
		return false
	}
	return new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 0
}
