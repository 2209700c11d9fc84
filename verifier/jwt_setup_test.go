package verifier_test

import (
	"context"
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
	"math/big"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/authz"
	"keyward/cache"
	"keyward/internal/vectors"
	"keyward/verifier"
	"keyward/verifier/admission"
	"keyward/verifier/fingerprint"
	"keyward/verifier/jwks"
)

// issuerKeys is a KeySource whose set a test changes. Find returns err if it is
// not nil.
type issuerKeys struct {
	set   atomic.Pointer[jwks.Set]
	err   error
	finds atomic.Int64
	// beforeFind, if not nil, is called in each Find, so that a test can act in
	// between.
	beforeFind func(ctx context.Context) error
}

func (k *issuerKeys) Find(ctx context.Context, q jwks.Query, _ time.Time) ([]*jwks.Key, error) {
	k.finds.Add(1)
	if k.beforeFind != nil {
		if err := k.beforeFind(ctx); err != nil {
			return nil, err
		}
	}
	if k.err != nil {
		return nil, k.err
	}
	return k.set.Load().Find(q)
}

func (k *issuerKeys) Contains(key *jwks.Key) bool { return k.set.Load().Contains(key) }

func parseKeys(t testing.TB, document []byte) *issuerKeys {
	t.Helper()
	set, err := jwks.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	k := &issuerKeys{}
	k.set.Store(set)
	return k
}

// tokenIssuer signs tokens with its own keys.
type tokenIssuer struct {
	keys    map[string]crypto.Signer // by algorithm, which is the key's id too
	entries []map[string]string
}

func newTokenIssuer(t testing.TB) *tokenIssuer {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ecKey.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return &tokenIssuer{
		keys: map[string]crypto.Signer{"RS256": rsaKey, "ES256": ecKey, "EdDSA": edKey},
		entries: []map[string]string{
			{"kid": "RS256", "kty": "RSA", "n": b64(rsaKey.N.Bytes()), "e": b64(big.NewInt(int64(rsaKey.E)).Bytes())},
			{"kid": "ES256", "kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
			{"kid": "EdDSA", "kty": "OKP", "crv": "Ed25519", "x": b64(edKey.Public().(ed25519.PublicKey))},
		},
	}
}

func (i *tokenIssuer) document(t testing.TB, entries ...map[string]string) []byte {
	t.Helper()
	if entries == nil {
		entries = i.entries
	}
	text, err := json.Marshal(map[string]any{"keys": entries})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sign makes a token of a header and a payload, unchanged.
func (i *tokenIssuer) sign(t testing.TB, algorithm, header, payload string) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	var key any = i.keys[algorithm]
	method := jwt.GetSigningMethod(algorithm)
	if method == jwt.SigningMethodPS256 {
		key = i.keys["RS256"]
	}
	signature, err := method.Sign(input, key)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(signature)
}

// signPSS makes a PS256 token with a salt of that length; 0 is the maximum
// length.
func (i *tokenIssuer) signPSS(t testing.TB, header, payload string, salt int) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	digest := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPSS(rand.Reader, i.keys["RS256"].(*rsa.PrivateKey), crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(signature)
}

// claims returns valid claims with changes; a nil value removes a claim.
func claims(changes map[string]any) string {
	all := map[string]any{
		"iss": "https://issuer.example", "aud": "api", "sub": "alice", "iat": tokenNow.Unix() - 60, "exp": tokenNow.Unix() + 3600, "scope": "read",
	}
	for name, v := range changes {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

var tokenNow = time.Unix(1767225600, 0).UTC()

// jwtFixture is a JWT verifier with keys, users and revocations that a test
// changes.
type jwtFixture struct {
	*verifier.JWT
	*tokenIssuer
	t      testing.TB
	config verifier.JWTConfig
	keys   *issuerKeys
	now    time.Time
}

func newJWTFixture(t testing.TB, change func(*verifier.JWTConfig, *verifier.JWTIssuer)) *jwtFixture {
	t.Helper()
	issuer := newTokenIssuer(t)
	return newJWTFixtureOf(t, issuer, parseKeys(t, issuer.document(t)), change)
}

func newJWTFixtureOf(t testing.TB, issuer *tokenIssuer, keys *issuerKeys, change func(*verifier.JWTConfig, *verifier.JWTIssuer)) *jwtFixture {
	t.Helper()
	f := &jwtFixture{tokenIssuer: issuer, t: t, keys: keys, now: tokenNow}
	entry := profileIssuer(vectors.Profile(t), f.keys)
	f.config.Tokens = newTokenCache(t)
	f.config.Fingerprints = fingerprint.NewHasher()
	f.config.Gate = admission.New(admission.Config{})
	if change != nil {
		change(&f.config, &entry)
	}
	f.config.Issuers = append(f.config.Issuers, entry)
	f.JWT = newJWT(t, f.config)
	return f
}

func newJWT(t testing.TB, cfg verifier.JWTConfig) *verifier.JWT {
	t.Helper()
	v, err := verifier.NewJWT(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newTokenCache(t testing.TB) *cache.Cache[verifier.CachedToken] {
	t.Helper()
	tokens, err := cache.New[verifier.CachedToken](1000, 1000*24*time.Hour) // outlives the times in the tests
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func profileIssuer(p vectors.TokenProfile, keys verifier.KeySource) verifier.JWTIssuer {
	return verifier.JWTIssuer{
		Name: "test", AuthMethod: authz.AuthMethodJWT, Issuer: p.Issuer, Audiences: []string{p.Audience}, Algorithms: p.Algorithms,
		Keys: keys, Leeway: p.Leeway, MaxLifetime: p.MaxLifetime,
	}
}

// verifyBearer verifies a bearer token, cached or not.
func (f *jwtFixture) verifyBearer(token string) (*authz.Principal, authz.Reason) {
	return verifyToken(f.JWT, context.Background(), token, f.now)
}

// mint signs claims with a minimal header.
func (f *jwtFixture) mint(algorithm string, changes map[string]any) string {
	f.t.Helper()
	return f.sign(f.t, algorithm, `{"alg":"`+algorithm+`","kid":"`+algorithm+`"}`, claims(changes))
}

// expect checks the result for the token, the first time and again.
func (f *jwtFixture) expect(token string, want authz.Reason, why string) *authz.Principal {
	f.t.Helper()
	var p *authz.Principal
	for range 2 {
		var got authz.Reason
		if p, got = f.verifyBearer(token); got != want {
			f.t.Errorf("%s: %s, want %s", why, got, want)
		}
	}
	return p
}

func verifyToken(v authz.Verifier, ctx context.Context, token string, now time.Time) (*authz.Principal, authz.Reason) {
	p, err := v.Verify(ctx, &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(token)}, now)
	refusal, refused := errors.AsType[*authz.CredentialError](err)
	switch {
	case err == nil && p != nil:
		return p, authz.OK
	case refused:
		return refusal.Principal, refusal.Reason
	case err == authz.ErrNotMine:
		return nil, authz.NoCredential // stands for "not mine" in these tests
	default:
		return nil, authz.Unavailable
	}
}
