package verifier_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/vectors"
	"keyward/verifier"
)

// lax turns every setting on by which an issuer's tokens may be less than they
// should.
func lax(i *verifier.JWTIssuer) {
	i.OptionalKid, i.OptionalExp = true, true
	i.Types = []string{"JOSE", "application/vnd.example+jwt", "rt+jwt"}
	i.MaxBytes = 64 << 10
	i.ScopeClaims = []string{"scope", "scp", "roles", "/realm_access/roles"}
}

// TestLaxVectors runs all vectors with every lax setting on. A vector that is
// refused by default stays refused, unless testdata/lax_vectors.txt says why not.
func TestLaxVectors(t *testing.T) {
	now := vectors.Profile(t).Now
	byDefault, changed := readDifferences(t, "accepted_vectors.txt"), readDifferences(t, "lax_vectors.txt")
	chain, err := newChainOf(t, vectors.KeySet(t), lax)
	if err != nil {
		t.Fatal(err)
	}
	mayChange := []string{"time", "typ", "json"} // no line can excuse a vector of another group
	for _, v := range vectors.Tokens(t) {
		_, reason := verifyToken(chain, t.Context(), v.Token, now)
		accepted := reason == authz.OK
		switch {
		case v.Expect == "accept" || byDefault.has(v.ID):
			if !accepted {
				t.Errorf("%s: %s, and it is accepted by default", v.ID, reason)
			}
		case changed.has(v.ID):
			if !accepted || !slices.Contains(mayChange, v.Group) {
				t.Errorf("%s (%s): %s, want ok", v.ID, v.Group, reason)
			}
		case accepted:
			t.Errorf("%s: accepted: %s", v.ID, v.Why)
		}
	}
	changed.checkUsed(t, "")
	for _, v := range vectors.KeySetCases(t) {
		reason := authz.InvalidToken
		if chain, err := newChainOf(t, v.JWKS, lax); err == nil {
			_, reason = verifyToken(chain, t.Context(), v.Token, now)
		}
		if got := reason == authz.OK; got != (v.Expect == "accept") {
			t.Errorf("%s: %s, want %s: %s", v.ID, reason, v.Expect, v.Why)
		}
	}
}

// TestLaxWycheproof runs the signatures and the keys of others with a key that
// need not be named.
func TestLaxWycheproof(t *testing.T) {
	for _, name := range []string{"json_web_signature_test.json", "json_web_key_test.json"} {
		w, found := readWycheproof(t, name)
		if !found {
			continue
		}
		for _, group := range w.TestGroups {
			public, private := group.Public, group.Private
			if strings.Contains(string(public), `"keys"`) {
				continue // a set, which TestWycheproofKeys parses
			}
			set, algorithms, err := singleKeySet(public, private)
			if err != nil {
				continue
			}
			keys := &issuerKeys{}
			keys.set.Store(set)
			for _, test := range group.Tests {
				strict, tried := verifier.SignatureGood(test.JWS, algorithms, keys), verifier.SignatureGoodAnyKid(test.JWS, algorithms, keys)
				if tried && !strict && test.Result != "valid" {
					t.Errorf("%s %d: accepted when the kid is optional", name, test.TcID)
				}
			}
		}
	}
}

// TestLaxAttacks has what must not get in, whatever the settings: forged,
// expired, foreign and confused tokens.
func TestLaxAttacks(t *testing.T) {
	f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { lax(i) })
	other := newTokenIssuer(t)
	now := tokenNow.Unix()
	type change = map[string]any
	b64 := base64.RawURLEncoding.EncodeToString
	sign := func(header string, c change) string { return f.sign(t, "EdDSA", header, claims(c)) }
	const plain = `{"alg":"EdDSA"}`
	if p := f.expect(sign(plain, change{"exp": nil, "iat": now - 60}), authz.OK, "none of it"); p == nil || !p.ExpiresAt.Equal(tokenNow.Add(24*time.Hour-time.Minute)) {
		t.Errorf("%+v", p)
	}
	mac := hmac.New(sha256.New, []byte(f.entries[2]["x"]))
	confused := b64([]byte(`{"alg":"HS256"}`)) + "." + b64([]byte(claims(nil)))
	mac.Write([]byte(confused))
	for why, token := range map[string]string{
		"forged":                        other.sign(t, "EdDSA", plain, claims(nil)),
		"forged, with a kid":            other.sign(t, "EdDSA", `{"alg":"EdDSA","kid":"EdDSA"}`, claims(nil)),
		"forged, of an unknown kid":     other.sign(t, "EdDSA", `{"alg":"EdDSA","kid":"other"}`, claims(nil)),
		"forged, without exp and kid":   other.sign(t, "EdDSA", plain, claims(change{"exp": nil, "iat": nil})),
		"a key of another algorithm":    f.sign(t, "EdDSA", `{"alg":"ES256"}`, claims(nil)),
		"a secret that is a public key": confused + "." + b64(mac.Sum(nil)),
		"no algorithm":                  b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(claims(nil))) + ".",
		"its own key":                   other.sign(t, "EdDSA", `{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"`+other.entries[2]["x"]+`"}}`, claims(nil)),
		"another issuer":                sign(plain, change{"iss": "https://issuer.example.evil.example"}),
		"another audience":              sign(plain, change{"aud": "other"}),
		"no audience":                   sign(plain, change{"aud": nil}),
		"a time that is a text":         sign(plain, change{"exp": fmt.Sprint(now + 60)}),
		"too long a life":               sign(plain, change{"exp": now + 1e6}),
		"from the future":               sign(plain, change{"exp": nil, "iat": now + 3600}),
		"not yet":                       sign(plain, change{"exp": nil, "nbf": now + 3600}),
		"a type that is not listed":     sign(`{"alg":"EdDSA","typ":"logout+jwt"}`, nil),
		"a type within a type":          sign(`{"alg":"EdDSA","typ":"application/application/jwt"}`, nil),
		"bound to a key of its sender":  sign(plain, change{"cnf": change{"jkt": "x"}}),
		"an unfit subject":              sign(plain, change{"sub": "alice\r\nx-auth-scopes: admin"}),
		"the subject of a key":          sign(plain, change{"sub": "k_1"}),
		"invalid scopes, in scope":      sign(plain, change{"scope": "read ädmin"}),
		"an object in roles":            sign(plain, change{"roles": change{"admin": true}}),
		"over 64 KiB":                   sign(plain, change{"x": strings.Repeat("x", 64<<10)}),
		"a header over 4 KiB":           sign(`{"alg":"EdDSA","x":"`+strings.Repeat("x", 4096)+`"}`, nil),
	} {
		f.expect(token, authz.InvalidToken, why)
	}
	f.expect(sign(plain, change{"exp": now - 31}), authz.ExpiredToken, "expired")
	f.expect(sign(plain, change{"exp": nil, "iat": now - 86400 - 31}), authz.ExpiredToken, "without exp, issued too long ago")
	f.expect(sign(plain, change{"exp": nil, "iat": now - 86400 - 29}), authz.OK, "without exp, within the leeway")
}

// manyKeys returns a fixture whose issuer publishes n more keys for ES256, and a
// function that signs with one of them.
func manyKeys(t *testing.T, n int, kid func(int) string, optional bool) (*jwtFixture, func(key int, header string) string) {
	t.Helper()
	f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.OptionalKid = optional })
	var entries []map[string]string
	var signers []crypto.Signer
	for k := range n {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		b64 := base64.RawURLEncoding.EncodeToString
		entry := map[string]string{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
		if kid(k) != "" {
			entry["kid"] = kid(k)
		}
		entries, signers = append(entries, entry), append(signers, private)
	}
	f.keys.set.Store(parseKeys(t, f.document(t, entries...)).set.Load())
	return f, func(key int, header string) string {
		signer := &tokenIssuer{keys: map[string]crypto.Signer{"ES256": signers[key]}}
		return signer.sign(t, "ES256", header, claims(nil))
	}
}

// TestOptionalKid: with require_kid: false a token that names no key is verified
// with up to four that fit, and one that names an unknown key with those that
// have no name. By default both are refused.
func TestOptionalKid(t *testing.T) {
	named := func(k int) string { return fmt.Sprint("k", k) }
	unnamed := func(int) string { return "" }
	for why, c := range map[string]struct {
		kid         func(int) string
		keys, key   int
		header      string
		strict, lax authz.Reason
	}{
		"no kid, the first of two":        {named, 2, 0, `{"alg":"ES256"}`, authz.InvalidToken, authz.OK},
		"no kid, the second of two":       {named, 2, 1, `{"alg":"ES256"}`, authz.InvalidToken, authz.OK},
		"no kid, the fourth of five":      {named, 5, 3, `{"alg":"ES256"}`, authz.InvalidToken, authz.OK},
		"no kid, the fifth of five":       {named, 5, 4, `{"alg":"ES256"}`, authz.InvalidToken, authz.InvalidToken},
		"the kid of another key":          {named, 2, 1, `{"alg":"ES256","kid":"k0"}`, authz.InvalidToken, authz.InvalidToken},
		"an unknown kid":                  {named, 1, 0, `{"alg":"ES256","kid":"other"}`, authz.InvalidToken, authz.InvalidToken},
		"an unknown kid, unnamed keys":    {unnamed, 2, 1, `{"alg":"ES256","kid":"other"}`, authz.InvalidToken, authz.OK},
		"an unknown kid, one unnamed key": {unnamed, 1, 0, `{"alg":"ES256","kid":"other"}`, authz.InvalidToken, authz.OK},
		"no kid, one key":                 {named, 1, 0, `{"alg":"ES256"}`, authz.OK, authz.OK},
	} {
		for optional, want := range map[bool]authz.Reason{false: c.strict, true: c.lax} {
			f, sign := manyKeys(t, c.keys, c.kid, optional)
			f.expect(sign(c.key, c.header), want, fmt.Sprintf("%s, optional: %v", why, optional))
		}
	}
}

// TestOptionalKidKeepsItsKey: a cached token ends with the key that verified it,
// and not with another that was tried.
func TestOptionalKidKeepsItsKey(t *testing.T) {
	f, sign := manyKeys(t, 3, func(k int) string { return fmt.Sprint("k", k) }, true)
	token := sign(1, `{"alg":"ES256"}`)
	f.expect(token, authz.OK, "the second of three")
	finds := f.keys.finds.Load()
	f.expect(token, authz.OK, "from the cache")
	if f.keys.finds.Load() != finds {
		t.Error("the token is not cached")
	}
	other, _ := manyKeys(t, 3, func(k int) string { return fmt.Sprint("k", k) }, true)
	f.keys.set.Store(other.keys.set.Load())
	f.expect(token, authz.InvalidToken, "its key is gone")
}

// TestOptionalExp: a token without exp ends max_lifetime after its iat, from the
// cache too, and one without both does not end.
func TestOptionalExp(t *testing.T) {
	f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.OptionalExp = true })
	issued, endless := f.mint("EdDSA", map[string]any{"exp": nil}), f.mint("EdDSA", map[string]any{"exp": nil, "iat": nil})
	if p := f.expect(issued, authz.OK, "iat"); p == nil || !p.ExpiresAt.Equal(tokenNow.Add(24*time.Hour-time.Minute)) {
		t.Errorf("%+v", p)
	}
	if p := f.expect(endless, authz.OK, "neither"); p == nil || !p.ExpiresAt.IsZero() {
		t.Errorf("%+v", p)
	}
	f.now = tokenNow.Add(24*time.Hour - 31*time.Second)
	f.expect(issued, authz.OK, "a second before the end")
	f.now = f.now.Add(time.Second)
	f.expect(issued, authz.ExpiredToken, "at the end")
	f.now = tokenNow.Add(900 * 24 * time.Hour)
	f.expect(endless, authz.OK, "neither, years later")
	strict := newJWTFixture(t, nil)
	strict.expect(strict.mint("EdDSA", map[string]any{"exp": nil}), authz.InvalidToken, "by default")
	if _, err := verifier.NewJWT(accessWithoutExp(f)); err == nil {
		t.Error("access tokens by RFC 9068 may lack exp")
	}
}

func accessWithoutExp(f *jwtFixture) verifier.JWTConfig {
	cfg := f.config
	cfg.Issuers = slices.Clone(cfg.Issuers)
	cfg.Issuers[0].AuthMethod = authz.AuthMethodOAuth
	return cfg
}

// TestMaxBytes: each issuer has its own bound.
func TestMaxBytes(t *testing.T) {
	f := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) {
		other := *i
		other.Issuer, other.Name = "https://long.example", "long"
		other.MaxBytes = 20_000
		c.Issuers = append(c.Issuers, other)
	})
	ofLength := func(iss string, length int) string {
		base := f.mint("EdDSA", map[string]any{"iss": iss, "x": ""})
		return f.mint("EdDSA", map[string]any{"iss": iss, "x": strings.Repeat("x", (length-len(base))*3/4)})
	}
	for _, c := range []struct {
		iss    string
		length int
		want   authz.Reason
	}{
		{"https://issuer.example", 8000, authz.OK}, {"https://issuer.example", 9000, authz.InvalidToken},
		{"https://long.example", 9000, authz.OK}, {"https://long.example", 19_900, authz.OK}, {"https://long.example", 20_100, authz.InvalidToken},
	} {
		token := ofLength(c.iss, c.length)
		if len(token) < c.length-10 || len(token) > c.length+10 {
			t.Fatalf("%d bytes, want %d", len(token), c.length)
		}
		f.expect(token, c.want, fmt.Sprint(c.iss, ", ", c.length, " bytes"))
	}
	// What no issuer may have is not parsed.
	expectCause(t, f.JWT, ofLength("https://other.example", 20_100), "form: want at most 20000 bytes (max_token_bytes), got more")
	expectCause(t, f.JWT, ofLength("https://other.example", 19_900), "iss: ")
}

// TestTypes: typ is a media type, whose application/ may be left out. Others must
// be listed, and access tokens by RFC 9068 say what they are.
func TestTypes(t *testing.T) {
	for _, c := range []struct {
		method authz.AuthMethod
		types  []string
		typ    string
		want   authz.Reason
	}{
		{authz.AuthMethodJWT, nil, "application/jwt", authz.OK},
		{authz.AuthMethodJWT, nil, "Application/JWT", authz.OK},
		{authz.AuthMethodJWT, nil, "application/at+jwt", authz.OK},
		{authz.AuthMethodJWT, nil, "JOSE", authz.InvalidToken},
		{authz.AuthMethodJWT, nil, "application/", authz.InvalidToken},
		{authz.AuthMethodJWT, nil, "text/jwt", authz.InvalidToken},
		{authz.AuthMethodJWT, nil, "applicatıon/jwt", authz.InvalidToken},
		{authz.AuthMethodJWT, []string{"JOSE"}, "jose", authz.OK},
		{authz.AuthMethodJWT, []string{"JOSE"}, "application/jose", authz.OK},
		{authz.AuthMethodJWT, []string{"application/JOSE"}, "JOSE", authz.OK},
		{authz.AuthMethodJWT, []string{"JOSE"}, "JWT", authz.OK},
		{authz.AuthMethodJWT, []string{"JOSE"}, "JOSE+JSON", authz.InvalidToken},
		{authz.AuthMethodOAuth, nil, "JWT", authz.InvalidToken},
		{authz.AuthMethodOAuth, []string{"JOSE"}, "JWT", authz.InvalidToken},
		{authz.AuthMethodOAuth, []string{"JWT"}, "application/jwt", authz.OK},
		{authz.AuthMethodOAuth, []string{"JWT"}, "at+jwt", authz.OK},
	} {
		f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.AuthMethod, i.Types = c.method, c.types })
		token := f.sign(t, "EdDSA", `{"alg":"EdDSA","kid":"EdDSA","typ":"`+c.typ+`"}`, claims(map[string]any{"client_id": "app", "jti": "j"}))
		f.expect(token, c.want, fmt.Sprint(c.method, " ", c.types, ": ", c.typ))
	}
	f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) {
		i.AuthMethod, i.Types = authz.AuthMethodOAuth, []string{"JWT"}
	})
	f.expect(f.sign(t, "EdDSA", `{"alg":"EdDSA","kid":"EdDSA"}`, claims(map[string]any{"client_id": "app", "jti": "j"})), authz.InvalidToken, "no type, where one is needed")
}
