package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
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

// parseMaterial reads the members that make the key. The error says why they make none that is fit.
func parseMaterial(jwk map[string]any) (material, error) {
	switch jwk["kty"] {
	case "RSA":
		return parseRSA(jwk)
	case "EC":
		return parseEC(jwk)
	case "OKP":
		return parseOKP(jwk)
	default:
		return material{}, errors.New("kty is not RSA, EC or OKP")
	}
}

func parseRSA(jwk map[string]any) (material, error) {
	n, err := integer(jwk, "n")
	if err != nil {
		return material{}, err
	}
	e, err := integer(jwk, "e")
	if err != nil {
		return material{}, err
	}
	if err := fitModulus(n); err != nil {
		return material{}, err
	}
	exponent := new(big.Int).SetBytes(e[:min(len(e), 8)]).Int64()
	if len(e) > 4 || exponent < 3 || exponent%2 == 0 || exponent > 1<<31-1 { // crypto/rsa takes 31 bits
		return material{}, errors.New("e is not an odd number of at least 3 and at most 31 bits")
	}
	return material{
		kind:       "RSA",
		algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
		verify:     &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)},
		parts:      [][]byte{n, e},
	}, nil
}

func fitModulus(n []byte) error {
	if len(n) > maxRSABits/8 {
		return fmt.Errorf("n has more than %d bits", maxRSABits)
	}
	modulus := new(big.Int).SetBytes(n)
	switch {
	case modulus.BitLen() < minRSABits:
		return fmt.Errorf("n has fewer than %d bits", minRSABits)
	case modulus.Bit(0) == 0:
		return errors.New("n is even")
	case isROCA(modulus):
		return errors.New("n can be factored (CVE-2017-15361)")
	default:
		return nil
	}
}

// integer reads a Base64urlUInt, which has no leading zero byte (RFC 7518 section 2).
func integer(jwk map[string]any, name string) ([]byte, error) {
	b, err := octets(jwk, name)
	if err == nil && b[0] == 0 {
		err = fmt.Errorf("%s begins with a zero byte", name)
	}
	return b, err
}

func parseEC(jwk map[string]any) (material, error) {
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
		return material{}, errors.New("crv is not P-256, P-384 or P-521")
	}
	x, err := octets(jwk, "x")
	if err != nil {
		return material{}, err
	}
	y, err := octets(jwk, "y")
	if err != nil {
		return material{}, err
	}
	// RFC 7518 section 6.2.1.2: as many bytes as the field's, leading zeros included.
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size || len(y) != size {
		return material{}, fmt.Errorf("x and y do not have %d bytes each", size)
	}
	point := append(append([]byte{4}, x...), y...) // SEC 1 section 2.3.3, uncompressed
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return material{}, errors.New("x and y are not a point on the curve")
	}
	return material{kind: curve.Params().Name, algorithms: []string{algorithm}, verify: key, parts: [][]byte{x, y}}, nil
}

func parseOKP(jwk map[string]any) (material, error) {
	if jwk["crv"] != "Ed25519" {
		return material{}, errors.New("crv is not Ed25519")
	}
	x, err := octets(jwk, "x")
	if err != nil {
		return material{}, err
	}
	if !isEd25519Point(x) {
		return material{}, errors.New("x is not a point that can be a key")
	}
	return material{kind: "Ed25519", algorithms: []string{"EdDSA"}, verify: ed25519.PublicKey(x), parts: [][]byte{x}}, nil
}
