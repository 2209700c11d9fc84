package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
)

// material is a public key as such: fit to be used, and with what.
type material struct {
	kind       string // key type and curve, for the thumbprint
	algorithms []string
	verify     any
	parts      [][]byte // the bytes that make the key
}

// Sizes of an RSA modulus: below it can be factored, above it costs too much to ask.
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// parseMaterial reads the members that make the key; false where they make none that is fit.
func parseMaterial(jwk map[string]any) (material, bool) {
	switch jwk["kty"] {
	case "RSA":
		return parseRSA(jwk)
	case "EC":
		return parseEC(jwk)
	case "OKP":
		return parseOKP(jwk)
	default:
		return material{}, false
	}
}

func parseRSA(jwk map[string]any) (material, bool) {
	n, ok := integer(jwk, "n")
	if !ok || len(n) > maxRSABits/8 {
		return material{}, false
	}
	e, ok := integer(jwk, "e")
	if !ok || len(e) > 4 {
		return material{}, false
	}
	modulus := new(big.Int).SetBytes(n)
	exponent := new(big.Int).SetBytes(e).Int64()
	switch bits := modulus.BitLen(); {
	case bits < minRSABits || bits > maxRSABits || modulus.Bit(0) == 0:
		return material{}, false
	case exponent < 3 || exponent%2 == 0 || exponent > 1<<31-1: // crypto/rsa takes 31 bits
		return material{}, false
	case isROCA(modulus):
		return material{}, false
	}
	return material{
		kind:       "RSA",
		algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
		verify:     &rsa.PublicKey{N: modulus, E: int(exponent)},
		parts:      [][]byte{n, e},
	}, true
}

// integer reads a Base64urlUInt, which has no leading zero byte (RFC 7518 section 2).
func integer(jwk map[string]any, name string) ([]byte, bool) {
	b, ok := octets(jwk, name)
	return b, ok && b[0] != 0
}

func parseEC(jwk map[string]any) (material, bool) {
	var curve elliptic.Curve
	var algorithm string
	switch jwk["crv"] {
	case "P-256":
		curve, algorithm = elliptic.P256(), "ES256"
	case "P-384":
		curve, algorithm = elliptic.P384(), "ES384"
	case "P-521":
		curve, algorithm = elliptic.P521(), "ES512"
	default:
		return material{}, false
	}
	x, okX := octets(jwk, "x")
	y, okY := octets(jwk, "y")
	// RFC 7518 section 6.2.1.2: as many bytes as the field's, leading zeros included.
	size := (curve.Params().BitSize + 7) / 8
	if !okX || !okY || len(x) != size || len(y) != size {
		return material{}, false
	}
	point := append(append([]byte{4}, x...), y...) // SEC 1 section 2.3.3, uncompressed
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return material{}, false
	}
	return material{kind: curve.Params().Name, algorithms: []string{algorithm}, verify: key, parts: [][]byte{x, y}}, true
}

func parseOKP(jwk map[string]any) (material, bool) {
	if jwk["crv"] != "Ed25519" {
		return material{}, false
	}
	x, ok := octets(jwk, "x")
	if !ok || !isEd25519Point(x) {
		return material{}, false
	}
	return material{kind: "Ed25519", algorithms: []string{"EdDSA"}, verify: ed25519.PublicKey(x), parts: [][]byte{x}}, true
}
