package signingkeys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The types of tokens that are signed.
const (
	TypeAccessToken = "at+jwt" // RFC 9068 section 2.1
	TypeJWT         = "JWT"    // ID tokens
)

var (
	errUnknownType = errors.New("the issuer signs no token of this type")
	errNotObject   = errors.New("the claims of a token are a JSON object")
)

// view is what Sign and Public read: one version of the set, never changed.
type view struct {
	set    Set
	jwks   []byte
	signer *signer // nil: no key may sign

	// When the reading of the set began, by either clock.
	readAt time.Time
	readIn time.Duration
}

// signer signs with one key.
type signer struct {
	private crypto.Signer
	headers map[string]string // by the type of the token, encoded and with the dot
}

func newSigner(k *Key) (*signer, error) {
	s := &signer{private: k.Private, headers: map[string]string{}}
	for _, typ := range []string{TypeAccessToken, TypeJWT} {
		header, err := json.Marshal(struct {
			Algorithm Algorithm `json:"alg"`
			Type      string    `json:"typ"`
			KeyID     string    `json:"kid"`
		}{k.Algorithm, typ, k.ID})
		if err != nil {
			return nil, err
		}
		s.headers[typ] = encode(header) + "."
	}
	return s, nil
}

// newView prepares a set for reading. The key that signs is the first of the JWKS, the
// next one is the second.
func newView(set Set, tokenTTL time.Duration, readAt time.Time, readIn time.Duration) (*view, error) {
	v := &view{set: set, readAt: readAt, readIn: readIn}
	document := struct {
		Keys []jwk `json:"keys"`
	}{[]jwk{}}
	for _, state := range []State{Signing, Next, Retiring} {
		for i := range set.Keys {
			k := &set.Keys[i]
			if k.State != state || k.Private == nil {
				continue
			}
			public, err := publicKeyOf(k.Private)
			if err != nil {
				return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
			}
			document.Keys = append(document.Keys, public)
		}
	}
	var err error
	// A key signs only what is on record as the longest that its tokens are valid.
	if k := set.find(Signing); k != nil && k.TokenTTL >= tokenTTL {
		if v.signer, err = newSigner(k); err != nil {
			return nil, err
		}
	}
	v.jwks, err = json.Marshal(document)
	return v, err
}

// Sign returns a signed token in compact form (RFC 7515 section 7.1). typ is
// TypeAccessToken or TypeJWT, and claims are what marshals to a JSON object; their exp
// is at most Config.TokenTTL from now.
//
// It reads memory only, and may be called by several goroutines. The error is ErrNoKey,
// or ErrStale: calling Maintain at once may help.
func (k *Keys) Sign(typ string, claims any) (string, error) {
	v := k.view.Load()
	if err := k.checkFresh(v); err != nil {
		return "", err
	}
	if v.signer == nil {
		return "", ErrNoKey
	}
	return v.signer.sign(typ, claims)
}

// SigningKey returns the key that Sign signs with, for a library that signs itself; what it
// signs is to be as Sign's. The error is Sign's.
func (k *Keys) SigningKey() (Key, error) {
	v := k.view.Load()
	if err := k.checkFresh(v); err != nil {
		return Key{}, err
	}
	if v.signer == nil {
		return Key{}, ErrNoKey
	}
	return *v.set.find(Signing), nil
}

// Fresh returns ErrStale if Sign does: calling Maintain at once may help.
func (k *Keys) Fresh() error { return k.checkFresh(k.view.Load()) }

// checkFresh returns ErrStale if the set was read too long ago by either of the clocks: a
// machine that was suspended sees it by its wall clock, and one whose wall clock was set
// back by the other.
func (k *Keys) checkFresh(v *view) error {
	if k.cfg.Monotonic()-v.readIn > k.cfg.MaxStaleness || k.cfg.Now().Sub(v.readAt) > k.cfg.MaxStaleness {
		return ErrStale
	}
	return nil
}

func (s *signer) sign(typ string, claims any) (string, error) {
	header, known := s.headers[typ]
	if !known {
		return "", fmt.Errorf("%w: %q", errUnknownType, typ)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("the claims of a token: %w", err)
	}
	if payload[0] != '{' {
		return "", errNotObject
	}
	token := make([]byte, 0, len(header)+base64.RawURLEncoding.EncodedLen(len(payload))+1+maxSignature)
	token = append(token, header...)
	token = base64.RawURLEncoding.AppendEncode(token, payload)
	signature, err := s.signature(token)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	token = append(token, '.')
	return string(base64.RawURLEncoding.AppendEncode(token, signature)), nil
}

// maxSignature is the encoded size of a signature of RS256.
const maxSignature = (rsaBits/8*4 + 2) / 3

// signature returns the signature of the text, in the form of RFC 7518 section 3 and RFC
// 8037 section 3.1.
func (s *signer) signature(text []byte) ([]byte, error) {
	switch private := s.private.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(private, text), nil
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(text)
		r, v, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			return nil, err
		}
		both := make([]byte, 64) // each number in 32 bytes, big-endian
		r.FillBytes(both[:32])
		v.FillBytes(both[32:])
		return both, nil
	case *rsa.PrivateKey:
		digest := sha256.Sum256(text)
		return rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
	default:
		return nil, errWrongKey
	}
}
