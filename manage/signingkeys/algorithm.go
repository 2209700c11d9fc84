package signingkeys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// Algorithm is a JWS algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
type Algorithm string

// The algorithms that the issuer may sign with.
const (
	ES256 Algorithm = "ES256" // ECDSA with P-256 and SHA-256
	RS256 Algorithm = "RS256" // RSASSA-PKCS1-v1_5 with SHA-256
	EdDSA Algorithm = "EdDSA" // Ed25519
)

// rsaBits is the size of new RSA keys, and the least of stored ones (RFC 7518 section 3.3).
const rsaBits = 2048

var (
	errWrongKey = errors.New("it is not a key for a signing algorithm")
	errWrongID  = errors.New("it is another key than the one that its name says")
)

// Known reports whether keys can be made for the algorithm.
func (a Algorithm) Known() bool { return a == ES256 || a == RS256 || a == EdDSA }

// generate makes a key. One for RS256 takes a second or longer.
func generate(a Algorithm) (crypto.Signer, error) {
	switch a {
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	default:
		return nil, fmt.Errorf("unknown signing algorithm %q", a)
	}
}

// MarshalPrivate returns the key as PKCS #8 (RFC 5208), in DER.
func MarshalPrivate(private crypto.Signer) ([]byte, error) {
	return x509.MarshalPKCS8PrivateKey(private)
}

// ParsePrivate reads what MarshalPrivate returns, of the key with the id. An error says
// nothing about the content.
func ParsePrivate(der []byte, id string) (crypto.Signer, Algorithm, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, "", errWrongKey // err may describe the content
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, "", errWrongKey
	}
	public, err := publicKeyOf(private)
	if err != nil {
		return nil, "", err
	}
	if public.ID != id {
		return nil, "", errWrongID
	}
	return private, public.Algorithm, nil
}

// jwk is a public key (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
type jwk struct {
	KeyType   string    `json:"kty"`
	Use       string    `json:"use"`
	Algorithm Algorithm `json:"alg"`
	ID        string    `json:"kid"`
	Curve     string    `json:"crv,omitempty"`
	X         string    `json:"x,omitempty"`
	Y         string    `json:"y,omitempty"`
	Modulus   string    `json:"n,omitempty"`
	Exponent  string    `json:"e,omitempty"`
}

// publicKeyOf returns the public key, whose kid is its thumbprint. A key for none of the
// algorithms is an error.
func publicKeyOf(private crypto.Signer) (jwk, error) {
	k := jwk{Use: "sig"}
	var required any // the members by which the key is identified, sorted (RFC 7638 section 3.2)
	switch public := private.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // uncompressed: 4, x, y
		if err != nil || public.Curve != elliptic.P256() {
			return jwk{}, errWrongKey
		}
		k.Algorithm, k.KeyType, k.Curve, k.X, k.Y = ES256, "EC", "P-256", encode(point[1:33]), encode(point[33:])
		required = struct {
			Curve   string `json:"crv"`
			KeyType string `json:"kty"`
			X       string `json:"x"`
			Y       string `json:"y"`
		}{k.Curve, k.KeyType, k.X, k.Y}
	case ed25519.PublicKey:
		k.Algorithm, k.KeyType, k.Curve, k.X = EdDSA, "OKP", "Ed25519", encode(public)
		required = struct {
			Curve   string `json:"crv"`
			KeyType string `json:"kty"`
			X       string `json:"x"`
		}{k.Curve, k.KeyType, k.X}
	case *rsa.PublicKey:
		if public.N.BitLen() < rsaBits {
			return jwk{}, errWrongKey
		}
		k.Algorithm, k.KeyType, k.Modulus, k.Exponent = RS256, "RSA", encode(public.N.Bytes()), encode(big.NewInt(int64(public.E)).Bytes())
		required = struct {
			Exponent string `json:"e"`
			KeyType  string `json:"kty"`
			Modulus  string `json:"n"`
		}{k.Exponent, k.KeyType, k.Modulus}
	default:
		return jwk{}, errWrongKey
	}
	canonical, err := json.Marshal(required)
	if err != nil {
		return jwk{}, err
	}
	thumbprint := sha256.Sum256(canonical)
	k.ID = encode(thumbprint[:])
	return k, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
