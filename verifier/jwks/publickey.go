package jwks

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
)

// publicKeyParams are the checked key of a JWK and what it may be used with.
type publicKeyParams struct {
	kind       string // key type and curve, for the thumbprint
	algorithms []string
	key        any
	parts      [][]byte // the parameters in one form each, for the thumbprint
}

// Sizes of an RSA modulus: below, it can be factored; above, verifying costs
// too much.
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// parsePublicKey reads the key parameters of a JWK. The error says why they are
// not accepted.
func parsePublicKey(jwk map[string]any) (publicKeyParams, error) {
	switch jwk["kty"] {
	case "RSA":
		return parseRSA(jwk)
	case "EC":
		return parseEC(jwk)
	case "OKP":
		return parseOKP(jwk)
	default:
		return publicKeyParams{}, errors.New("kty is not RSA, EC or OKP")
	}
}

func parseRSA(jwk map[string]any) (publicKeyParams, error) {
	n, err := integer(jwk, "n")
	if err != nil {
		return publicKeyParams{}, err
	}
	e, err := integer(jwk, "e")
	if err != nil {
		return publicKeyParams{}, err
	}
	return rsaParams(n, e)
}

// rsaParams takes the two numbers of an RSA key in their shortest form.
func rsaParams(n, e []byte) (publicKeyParams, error) {
	if err := checkModulus(n); err != nil {
		return publicKeyParams{}, err
	}
	exponent := new(big.Int).SetBytes(e[:min(len(e), 8)]).Int64()
	if len(e) > 4 || exponent < 3 || exponent%2 == 0 || exponent > 1<<31-1 { // crypto/rsa takes 31 bits
		return publicKeyParams{}, errors.New("e is not an odd number of at least 3 and at most 31 bits")
	}
	return publicKeyParams{
		kind:       "RSA",
		algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
		key:        &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)},
		parts:      [][]byte{n, e},
	}, nil
}

func checkModulus(n []byte) error {
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

// integer reads a Base64urlUInt. RFC 7518 section 2 allows no leading zero
// bytes, but Java's BigInteger writes one, and the number is the same.
func integer(jwk map[string]any, name string) ([]byte, error) {
	b, err := decodeBase64URL(jwk, name)
	return bytes.TrimLeft(b, "\x00"), err
}

func parseEC(jwk map[string]any) (publicKeyParams, error) {
	var curve elliptic.Curve
	switch jwk["crv"] {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return publicKeyParams{}, errCurve
	}
	x, err := decodeBase64URL(jwk, "x")
	if err != nil {
		return publicKeyParams{}, err
	}
	y, err := decodeBase64URL(jwk, "y")
	if err != nil {
		return publicKeyParams{}, err
	}
	// RFC 7518 section 6.2.1.2: as many bytes as the field's, leading zeros
	// included.
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size || len(y) != size {
		return publicKeyParams{}, fmt.Errorf("x and y do not have %d bytes each", size)
	}
	return ecParams(curve, append(append([]byte{4}, x...), y...))
}

// ecAlgorithms are the algorithms of the curves, by the name that JWK and
// crypto/elliptic give them.
var ecAlgorithms = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

var errCurve = errors.New("crv is not P-256, P-384 or P-521")

// ecParams takes a point in the uncompressed form of SEC 1 section 2.3.3.
func ecParams(curve elliptic.Curve, point []byte) (publicKeyParams, error) {
	name := curve.Params().Name
	algorithm, known := ecAlgorithms[name]
	if !known {
		return publicKeyParams{}, errCurve
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return publicKeyParams{}, errors.New("x and y are not a point on the curve")
	}
	return publicKeyParams{kind: name, algorithms: []string{algorithm}, key: key, parts: [][]byte{point}}, nil
}

func parseOKP(jwk map[string]any) (publicKeyParams, error) {
	if jwk["crv"] != "Ed25519" {
		return publicKeyParams{}, errors.New("crv is not Ed25519")
	}
	x, err := decodeBase64URL(jwk, "x")
	if err != nil {
		return publicKeyParams{}, err
	}
	return ed25519Params(x)
}

func ed25519Params(x []byte) (publicKeyParams, error) {
	if !isEd25519Point(x) {
		return publicKeyParams{}, errors.New("x is not a point that can be a key")
	}
	return publicKeyParams{kind: "Ed25519", algorithms: []string{"EdDSA"}, key: ed25519.PublicKey(x), parts: [][]byte{x}}, nil
}
