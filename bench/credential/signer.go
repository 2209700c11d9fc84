package credential

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sys/unix"

	"keyward/store/oauth"
)

// Signer makes tokens of one algorithm.
type Signer struct {
	Tokens []string // values of Authorization

	method  jwt.SigningMethod
	private crypto.Signer
	jwk     map[string]string
	digest  []byte // digest of one token's signing input, and the signature in the standard library's form
	sig     []byte
}

// What tokens of Keyward's own issuer have.
const (
	OwnIssuer = "https://keyward.example.com"
	Audience  = "https://api.example.com"
)

// TokensOfAKind is how many tokens each signer makes.
const TokensOfAKind = 2000

// NewSigners returns one signer per algorithm, RS256 first.
func NewSigners() ([]*Signer, error) {
	rsaSigner, err := NewRSASigner()
	if err != nil {
		return nil, err
	}
	ecSigner, err := newECDSASigner()
	if err != nil {
		return nil, err
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	edSigner := &Signer{method: jwt.SigningMethodEdDSA, private: edKey, jwk: map[string]string{
		"kty": "OKP", "crv": "Ed25519", "x": b64(edKey.Public().(ed25519.PublicKey))}}
	for _, s := range []*Signer{ecSigner, edSigner} {
		if err := s.sign("JWT", typicalClaims); err != nil {
			return nil, err
		}
	}
	return []*Signer{rsaSigner, ecSigner, edSigner}, nil
}

// newECDSASigner returns a signer for ES256 that has signed nothing.
func newECDSASigner() (*Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return &Signer{method: jwt.SigningMethodES256, private: key, jwk: map[string]string{
		"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}}, nil
}

// NewOwnSigner returns a signer whose tokens are those of a login at Keyward's own issuer, of
// the users whom NewPasswords writes.
func NewOwnSigner() (*Signer, error) {
	s, err := newECDSASigner()
	if err != nil {
		return nil, err
	}
	return s, s.sign("at+jwt", func(i int, now time.Time) jwt.MapClaims {
		sid := rand.Text()
		return jwt.MapClaims{
			"iss": OwnIssuer, "sub": fmt.Sprint("user", i%knownPasswords), "aud": Audience, "client_id": oauth.LoginClient,
			"scope": "items:read items:write", "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
			"sid": sid, "grant_id": sid, "sub_kind": "user", "gen": 0,
		}
	})
}

// NewRSASigner returns a signer for RS256.
func NewRSASigner() (*Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	s := &Signer{method: jwt.SigningMethodRS256, private: key, jwk: map[string]string{
		"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}
	return s, s.sign("JWT", typicalClaims)
}

// Algorithm returns the name that a token's header has for it.
func (s *Signer) Algorithm() string { return s.method.Alg() }

// typicalClaims are those of a token of a typical size.
func typicalClaims(i int, now time.Time) jwt.MapClaims {
	return jwt.MapClaims{
		"iss": "bench", "sub": fmt.Sprint("user", i), "aud": []string{Audience, "https://other.example.com"},
		"scope": "items:read items:write", "jti": rand.Text(), "client_id": "bench",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// sign makes tokens of that type, with the claims that the function returns for each.
func (s *Signer) sign(typ string, claims func(i int, now time.Time) jwt.MapClaims) error {
	now := time.Now()
	s.jwk["kid"] = s.method.Alg()
	for i := range TokensOfAKind {
		token := jwt.NewWithClaims(s.method, claims(i, now))
		token.Header["typ"], token.Header["kid"] = typ, s.jwk["kid"]
		text, err := token.SignedString(s.private)
		if err != nil {
			return err
		}
		s.Tokens = append(s.Tokens, "Bearer "+text)
	}
	text := s.Tokens[0]
	sum := sha256.Sum256([]byte(text)) // any text of a token's size; hashing it is part of the verification
	s.digest = []byte(text)
	var err error
	if _, isEd := s.private.(ed25519.PrivateKey); isEd {
		s.sig, err = s.private.Sign(rand.Reader, s.digest, crypto.Hash(0))
	} else {
		s.sig, err = s.private.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
	return err
}

// BareVerification returns this thread's processor time for one verification,
// including the hash, in microseconds.
func (s *Signer) BareVerification(span time.Duration) (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := threadTime()
	if err != nil {
		return 0, err
	}
	n := 0
	for start := time.Now(); time.Since(start) < span; n++ {
		sum := sha256.Sum256(s.digest)
		good := false
		switch public := s.private.Public().(type) {
		case *rsa.PublicKey:
			good = rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], s.sig) == nil
		case *ecdsa.PublicKey:
			good = ecdsa.VerifyASN1(public, sum[:], s.sig)
		case ed25519.PublicKey:
			good = ed25519.Verify(public, s.digest, s.sig)
		}
		if !good {
			return 0, errors.New("a signature made by the benchmark is invalid")
		}
	}
	after, err := threadTime()
	return float64(after-before) / 1e3 / float64(n), err
}

// threadTime returns the processor time of this thread.
func threadTime() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), err
}

// JWKS returns the key set by which the tokens of the signers are verified.
func JWKS(signers []*Signer) []byte {
	set := map[string][]map[string]string{}
	for _, s := range signers {
		set["keys"] = append(set["keys"], s.jwk)
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic(err) // strings always marshal
	}
	return text
}
