package signingkeys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/verifier/jwks"

	"github.com/golang-jwt/jwt/v5"
)

// algorithms are all.
var algorithms = []Algorithm{ES256, RS256, EdDSA}

func withAlgorithm(t testing.TB, a Algorithm) *Keys {
	t.Helper()
	cfg := config(&memory{lost: map[string]bool{}}, &machine{real: new(time.Duration)})
	cfg.Algorithm = a
	k, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestTokensVerify: golang-jwt verifies tokens with keys that package jwks reads in the
// JWKS, by the kid of their header.
func TestTokensVerify(t *testing.T) {
	for _, a := range algorithms {
		for _, typ := range []string{TypeAccessToken, TypeJWT} {
			k := withAlgorithm(t, a)
			token, err := k.Sign(typ, map[string]any{"sub": "ada", "html": "<&>"})
			if err != nil {
				t.Fatal(err)
			}
			set, err := jwks.Parse(k.Public())
			if err != nil || set.Len() != 1 || len(set.Ignored()) > 0 {
				t.Fatalf("%s: %v, %v", k.Public(), err, set.Ignored())
			}
			find := func(token *jwt.Token) (any, error) {
				kid, _ := token.Header["kid"].(string)
				keys, err := set.Find(jwks.Query{ID: kid, HasID: true, Algorithm: string(a)})
				if err != nil {
					return nil, err
				}
				return keys[0].VerificationKey(), nil
			}
			parsed, err := jwt.Parse(token, find, jwt.WithValidMethods([]string{string(a)}))
			if err != nil {
				t.Errorf("%s: %v", a, err)
				continue
			}
			want := map[string]any{"alg": string(a), "typ": typ, "kid": k.Status()[0].ID}
			if !reflect.DeepEqual(parsed.Header, want) || parsed.Claims.(jwt.MapClaims)["html"] != "<&>" {
				t.Errorf("%s: %v, %v", a, parsed.Header, parsed.Claims)
			}
			if _, err := jwt.Parse(token[:len(token)-4]+"AAAA", find); err == nil {
				t.Errorf("%s: another signature verifies", a)
			}
		}
	}
}

// publicKey is a key without its private half.
type publicKey struct{ public crypto.PublicKey }

func (p publicKey) Public() crypto.PublicKey { return p.public }
func (publicKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestThumbprints has the examples of RFC 7638 section 3.1 and RFC 8037 appendix A.3.
func TestThumbprints(t *testing.T) {
	const modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	for want, public := range map[string]crypto.PublicKey{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": &rsa.PublicKey{N: new(big.Int).SetBytes(decode(t, modulus)), E: 65537},
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": ed25519.PublicKey(decode(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")),
	} {
		got, err := publicKeyOf(publicKey{public})
		if err != nil || got.ID != want {
			t.Errorf("%+v, %v, want %s", got, err, want)
		}
	}
	small := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	if _, err := publicKeyOf(publicKey{small}); !errors.Is(err, errWrongKey) {
		t.Errorf("an RSA key of 1024 bits: %v", err)
	}
}

// TestJWKSMembers: no private part is published, and the key that signs comes first.
func TestJWKSMembers(t *testing.T) {
	f := newFixture(t)
	for _, f.Keys.cfg.Algorithm = range algorithms {
		if err := f.Rotate(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		f.run(12 * time.Minute)
	}
	var document struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(f.Public(), &document); err != nil {
		t.Fatal(err)
	}
	members := map[string]string{"EC": "alg crv kid kty use x y", "RSA": "alg e kid kty n use", "OKP": "alg crv kid kty use x"}
	for _, key := range document.Keys {
		names := strings.Fields(members[key["kty"]])
		for _, name := range names {
			if key[name] == "" {
				t.Errorf("%v lacks %s", key, name)
			}
		}
		if len(key) != len(names) || key["use"] != "sig" {
			t.Errorf("%v", key)
		}
	}
	if len(document.Keys) != 4 || document.Keys[0]["kid"] != f.signsWith() {
		t.Errorf("%v", document.Keys)
	}
}

// TestSignRefuses: neither other types of tokens nor claims that are not an object.
func TestSignRefuses(t *testing.T) {
	k := withAlgorithm(t, EdDSA)
	for _, typ := range []string{"", "jwt", "logout+jwt"} {
		if _, err := k.Sign(typ, struct{}{}); !errors.Is(err, errUnknownType) {
			t.Errorf("%q: %v", typ, err)
		}
	}
	for _, claims := range []any{nil, "text", []int{1}, 7} {
		if _, err := k.Sign(TypeJWT, claims); !errors.Is(err, errNotObject) {
			t.Errorf("%v: %v", claims, err)
		}
	}
	if _, err := k.Sign(TypeJWT, func() {}); err == nil {
		t.Error("a function was signed")
	}
}

// TestConcurrent: tokens are signed while keys rotate.
func TestConcurrent(t *testing.T) {
	f := newFixture(t)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := f.Sign(TypeJWT, struct{}{}); err != nil {
					t.Error(err)
				}
				f.Public()
				f.Status()
				f.Age()
			}
		})
	}
	for range 50 {
		if err := f.Rotate(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	all.Wait()
}

// BenchmarkSign signs the claims of an access token (RFC 9068).
func BenchmarkSign(b *testing.B) {
	claims := struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		Client   string `json:"client_id"`
		ID       string `json:"jti"`
		Scope    string `json:"scope"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}{"https://auth.example.com", "ada", "https://api.example.com", "login", "3q2-7wAAAAAAAAAAAAAAAA", "posts:read posts:write", 1764403200, 1764406800}
	for _, a := range algorithms {
		b.Run(string(a), func(b *testing.B) {
			k := withAlgorithm(b, a)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Sign(TypeAccessToken, &claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
