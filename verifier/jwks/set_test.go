package jwks_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/internal/vectors"
	"keyward/verifier/jwks"
)

type jwk map[string]any

// with returns the key with one member changed, or without it if v is nil.
func (k jwk) with(name string, v any) jwk {
	changed := maps.Clone(k)
	if changed[name] = v; v == nil {
		delete(changed, name)
	}
	return changed
}

// vectorKeys returns the usable keys of the vectors' set: rsa1 (RS256), ec1
// (ES256), ed1 (EdDSA).
func vectorKeys(t testing.TB) (rsaKey, ecKey, edKey jwk) {
	t.Helper()
	var document struct{ Keys []jwk }
	if err := json.Unmarshal(vectors.KeySet(t), &document); err != nil || len(document.Keys) != 3 {
		t.Fatalf("%d keys, %v", len(document.Keys), err)
	}
	return document.Keys[0], document.Keys[1], document.Keys[2]
}

func document(t testing.TB, keys ...jwk) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func modulus(t testing.TB, bits int) string {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	n.Add(n, big.NewInt(12345678901))
	return b64(n.Bytes())
}

// TestIgnoredKeys checks that each key is left out, alone and beside a good
// one.
func TestIgnoredKeys(t *testing.T) {
	rsaKey, ecKey, edKey := vectorKeys(t)
	x, _ := ecKey["x"].(string)
	edX, _ := edKey["x"].(string)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := p521.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	field := strings.Repeat("ff", 31) // high bytes of p and of what is above it
	even := new(big.Int).Lsh(big.NewInt(3), 2046)
	for why, key := range map[string]jwk{
		"no kty":                        rsaKey.with("kty", nil),
		"kty of another type":           rsaKey.with("kty", 1),
		"kty in other letters":          rsaKey.with("kty", "rsa"),
		"unknown kty":                   rsaKey.with("kty", "AKP"),
		"kty of another key":            ecKey.with("kty", "RSA"),
		"use enc":                       rsaKey.with("use", "enc"),
		"use of another type":           rsaKey.with("use", []string{"sig"}),
		"use empty":                     rsaKey.with("use", ""),
		"key_ops without verify":        rsaKey.with("key_ops", []string{"encrypt"}),
		"key_ops empty":                 rsaKey.with("key_ops", []string{}),
		"key_ops a string":              rsaKey.with("key_ops", "verify"),
		"key_ops twice the same":        rsaKey.with("key_ops", []string{"verify", "verify"}),
		"key_ops of another type":       rsaKey.with("key_ops", []any{"verify", 1}),
		"alg of another kind":           rsaKey.with("alg", "ES256"),
		"alg HMAC":                      rsaKey.with("alg", "HS256"),
		"alg none":                      rsaKey.with("alg", "none"),
		"alg empty":                     rsaKey.with("alg", ""),
		"alg of another type":           rsaKey.with("alg", []string{"RS256"}),
		"alg of another curve":          ecKey.with("alg", "ES384"),
		"kid of another type":           rsaKey.with("kid", 1),
		"kid null":                      jwkNull(rsaKey, "kid"),
		"kid empty":                     rsaKey.with("kid", ""),
		"kid too long":                  rsaKey.with("kid", strings.Repeat("a", 256)),
		"no modulus":                    rsaKey.with("n", nil),
		"modulus of another type":       rsaKey.with("n", 5),
		"modulus with half its padding": rsaKey.with("n", rsaKey["n"].(string)+"="),
		"modulus with more padding":     rsaKey.with("n", rsaKey["n"].(string)+"==="),
		"modulus with padding within":   rsaKey.with("n", rsaKey["n"].(string)[:340]+"=="+rsaKey["n"].(string)[:4]),
		"modulus with a line break":     rsaKey.with("n", rsaKey["n"].(string)+"\n"),
		"modulus in other base64":       rsaKey.with("n", strings.ReplaceAll(rsaKey["n"].(string), "-", "+")),
		"modulus of zeros":              rsaKey.with("n", b64(make([]byte, 256))),
		"2047 bits after zeros":         rsaKey.with("n", "AAAA"+modulus(t, 2047)),
		"2047 bits":                     rsaKey.with("n", modulus(t, 2047)),
		"1024 bits":                     rsaKey.with("n", modulus(t, 1024)),
		"factored by CVE-2017-15361":    rsaKey.with("n", rocaModulus),
		"4097 bits":                     rsaKey.with("n", modulus(t, 4097)),
		"even modulus":                  rsaKey.with("n", b64(even.Bytes())),
		"no exponent":                   rsaKey.with("e", nil),
		"exponent 1":                    rsaKey.with("e", "AQ"),
		"exponent 2":                    rsaKey.with("e", "Ag"),
		"exponent 0":                    rsaKey.with("e", "AA"),
		"exponent even":                 rsaKey.with("e", b64([]byte{1, 0, 0})),
		"exponent 1 after zeros":        rsaKey.with("e", b64([]byte{0, 0, 1})),
		"exponent of 32 bits":           rsaKey.with("e", b64([]byte{0x80, 0, 0, 1})),
		"exponent of 40 bits":           rsaKey.with("e", b64([]byte{1, 0, 0, 0, 1})),
		"secp256k1":                     ecKey.with("crv", "secp256k1").with("alg", nil),
		"no curve":                      ecKey.with("crv", nil),
		"another curve":                 ecKey.with("crv", "P-384").with("alg", nil),
		"coordinate short":              ecKey.with("x", x[:40]),
		"coordinate long":               ecKey.with("x", "AAAA"+x),
		"off the curve":                 ecKey.with("y", x),
		"point zero":                    ecKey.with("x", b64(make([]byte, 32))).with("y", b64(make([]byte, 32))),
		"coordinate above the field":    ecKey.with("x", fromHex(t, field+"ff")),
		"no y":                          ecKey.with("y", nil),
		"P-521 without its zero byte":   {"kty": "EC", "crv": "P-521", "x": b64(point[2:67]), "y": b64(point[67:])},
		"X25519":                        edKey.with("crv", "X25519"),
		"Ed448":                         edKey.with("crv", "Ed448"),
		"Ed25519 short":                 edKey.with("x", edX[:40]),
		"Ed25519 long":                  edKey.with("x", "AAAA"+edX),
		"Ed25519 alg RS256":             edKey.with("alg", "RS256"),
	} {
		if _, err := jwks.Parse(document(t, key)); err == nil {
			t.Errorf("%s: accepted alone", why)
		}
		other := edKey.with("kid", "other")
		set, err := jwks.Parse(document(t, key, other))
		if err != nil || set.Len() != 1 {
			t.Errorf("%s: used, or it makes Parse fail: %v", why, err)
		} else if left := set.Ignored(); len(left) != 1 || left[0].Index != 0 || left[0].Why == "" {
			t.Errorf("%s: not among the ignored keys: %v", why, left)
		} else if _, err := set.Find(jwks.Query{ID: "other", HasID: true, Algorithm: "EdDSA"}); err != nil {
			t.Errorf("%s: the other key: %v", why, err)
		}
	}
}

// rocaModulus is from Wycheproof, json_web_key test 7.
const rocaModulus = "AanFpofbj7KjD4Lf-N2hVMKR7yewSyXhhbirIMTGpfYEhZ_lnt5UoK98DnKIgArXGTu3MaW_HhFw16HGaTDUHqPrId7fe4r11CqRw09yBFuW79V8sYIwHdzCaWflUI6auImYbVfoN9_nD5n8N8SY9DwXw7mwZM9wREPXoDPgOoIWl6q_MPsp7n0zs3Z5ZaiQWOOzl1S9OhwAfSiiOwz6efnXEaxuTEtPd7BjSx7NaFka8Dx9U7YqXy2RFj1O9PjyaDGuRh7YXsX3iMUSP_wSyHQg_c_qHRtKUsNSGCT7OZg0hzm2KphtjnayKJvC64vAbROBR4Ubg6Bxg9IQVZ-QYyE"

func jwkNull(k jwk, name string) jwk {
	changed := maps.Clone(k)
	changed[name] = nil
	return changed
}

func fromHex(t testing.TB, text string) string {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b64(b)
}

// TestIgnoredReasons checks which keys are reported as left out and why, and
// that nothing of them is quoted but the id.
func TestIgnoredReasons(t *testing.T) {
	rsaKey, ecKey, edKey := vectorKeys(t)
	odd := "a\u202e\n" + strings.Repeat("x", 100)
	n, err := base64.RawURLEncoding.DecodeString(rsaKey["n"].(string))
	if err != nil {
		t.Fatal(err)
	}
	set, err := jwks.Parse(document(t, edKey, rsaKey.with("n", b64(n[:255])), ecKey.with("kid", nil).with("crv", "secp256k1"), rsaKey.with("kid", odd).with("use", "enc")))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"key 1 (kid " + rsaKey["kid"].(string) + "): n has fewer than 2048 bits",
		"key 2: crv is not P-256, P-384 or P-521",
		`key 3 (kid a\u202e\n` + strings.Repeat("x", 55) + "…): use is not sig: the key is for something other than signatures",
	}
	if got := set.Ignored(); len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i, each := range set.Ignored() {
		if each.String() != want[i] {
			t.Errorf("%s, want %s", each, want[i])
		}
	}
	_, err = jwks.Parse(document(t, rsaKey.with("n", rsaKey["n"].(string)+"="), edKey.with("crv", "secret-curve")))
	if err == nil || err.Error() != "jwks: no usable key; key 0: n is not base64url; key 1: crv is not Ed25519" {
		t.Error(err)
	}
}

// TestSmallOrderPoints has the eight points of small order, all other encodings
// of them, and values of y that are not on the curve.
func TestSmallOrderPoints(t *testing.T) {
	_, _, edKey := vectorKeys(t)
	for _, y := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000", // 1: order 1
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // -1: order 2
		"0000000000000000000000000000000000000000000000000000000000000000", // 0: order 4
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p: 0 again
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p+1: 1 again
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p+3: 3 again, of large order
		"0200000000000000000000000000000000000000000000000000000000000000", // on no point
	} {
		encoded, err := hex.DecodeString(y)
		if err != nil {
			t.Fatal(err)
		}
		for _, sign := range []byte{0, 0x80} {
			signed := append([]byte(nil), encoded...)
			signed[31] |= sign
			if _, err := jwks.Parse(document(t, edKey.with("x", b64(signed)))); err == nil {
				t.Errorf("%x: accepted", signed)
			}
		}
	}
	for range 50 {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jwks.Parse(document(t, edKey.with("x", b64(public)))); err != nil {
			t.Errorf("%x: %v", public, err)
		}
	}
}

// TestRefusedSets has everything that makes Parse refuse the entire set, good
// keys included.
func TestRefusedSets(t *testing.T) {
	rsaKey, ecKey, edKey := vectorKeys(t)
	many := make([]jwk, 101)
	for i := range many {
		many[i] = edKey.with("kid", fmt.Sprint(i))
	}
	if set, err := jwks.Parse(document(t, many[:100]...)); err != nil || set.Len() != 100 {
		t.Errorf("a hundred keys: %v", err)
	}
	good := string(document(t, edKey))
	refused := map[string][]byte{
		"nothing":                     nil,
		"null":                        []byte("null"),
		"an array":                    []byte("[]"),
		"no keys":                     []byte("{}"),
		"an empty set":                document(t, []jwk{}...),
		"keys null":                   []byte(`{"keys":null}`),
		"keys an object":              []byte(`{"keys":{}}`),
		"a key that is a string":      []byte(strings.Replace(good, "[", `["x",`, 1)),
		"a member twice":              []byte(strings.Replace(good, "{", `{"keys":[],`, 1)),
		"a key's member twice":        []byte(strings.Replace(good, `"kty"`, `"kty":"OKP","kty"`, 1)),
		"something behind it":         []byte(good + "x"),
		"too deep":                    []byte(strings.Replace(good, "{", `{"x":`+strings.Repeat("[", 16)+strings.Repeat("]", 16)+",", 1)),
		"101 keys":                    document(t, many...),
		"over 512 KiB":                []byte(good + strings.Repeat(" ", 512<<10)),
		"a symmetric key":             document(t, edKey, jwk{"kty": "oct", "k": "AAAA"}),
		"a symmetric key without k":   document(t, edKey, jwk{"kty": "oct"}),
		"a private part of an EC key": document(t, edKey, ecKey.with("d", "AAAA")),
		"a private part of no kty":    document(t, edKey, jwk{"k": "AAAA"}),
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		refused["a private "+name] = document(t, edKey, rsaKey.with(name, "AAAA"))
	}
	for why, text := range refused {
		if set, err := jwks.Parse(text); err == nil || set != nil {
			t.Errorf("%s: accepted", why)
		}
	}
}

func TestFind(t *testing.T) {
	rsaKey, ecKey, edKey := vectorKeys(t)
	set, err := jwks.Parse(document(t, rsaKey, ecKey, edKey, rsaKey.with("kid", "any").with("alg", nil).with("use", nil), edKey.with("kid", nil)))
	if err != nil || set.Len() != 5 {
		t.Fatalf("%v", err)
	}
	for _, c := range []struct {
		kid, algorithm string
		hasKid         bool
		want           error
	}{
		{"rsa1", "RS256", true, nil},
		{"any", "RS256", true, nil},
		{"any", "PS512", true, nil},
		{"ec1", "ES256", true, nil},
		{"ed1", "EdDSA", true, nil},
		{"", "ES256", false, nil},
		{"", "PS256", false, nil},
		{"rsa1", "RS512", true, jwks.ErrNoKey}, // the key's alg is RS256
		{"rsa1", "PS256", true, jwks.ErrNoKey},
		{"rsa1", "HS256", true, jwks.ErrNoKey},
		{"rsa1", "none", true, jwks.ErrNoKey},
		{"rsa1", "", true, jwks.ErrNoKey},
		{"RSA1", "RS256", true, jwks.ErrNoKey},
		{"", "EdDSA", true, jwks.ErrNoKey}, // an empty id is not "no id"
		{"ec1", "ES384", true, jwks.ErrNoKey},
		{"", "ES384", false, jwks.ErrNoKey},
		{"", "RS256", false, jwks.ErrManyKeys},
		{"", "EdDSA", false, jwks.ErrManyKeys},
	} {
		keys, err := set.Find(jwks.Query{ID: c.kid, HasID: c.hasKid, Algorithm: c.algorithm})
		key := only(keys)
		if !errors.Is(err, c.want) || (err == nil) != (key != nil) {
			t.Errorf("%q %v %s: %v, want %v", c.kid, c.hasKid, c.algorithm, err, c.want)
		}
		if id, named := keyID(key); key != nil && c.hasKid && (id != c.kid || !named) {
			t.Errorf("%q: found %q", c.kid, id)
		}
	}
	if _, err := new(jwks.Set).Find(jwks.Query{Algorithm: "RS256", OptionalID: true}); !errors.Is(err, jwks.ErrNoKey) {
		t.Errorf("the zero set: %v", err)
	}
}

// only returns the one key that was found, nil for none and for several.
func only(keys []*jwks.Key) *jwks.Key {
	if len(keys) != 1 {
		return nil
	}
	return keys[0]
}

func keyID(k *jwks.Key) (string, bool) {
	if k == nil {
		return "", false
	}
	return k.ID()
}

// TestContains checks that a key of an earlier set counts as the same only if
// its parameters, id and algorithms are equal.
func TestContains(t *testing.T) {
	rsaKey, ecKey, edKey := vectorKeys(t)
	parse := func(keys ...jwk) *jwks.Set {
		set, err := jwks.Parse(document(t, keys...))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	before := parse(rsaKey, ecKey)
	keys, err := before.Find(jwks.Query{ID: "rsa1", HasID: true, Algorithm: "RS256"})
	if err != nil {
		t.Fatal(err)
	}
	key := only(keys)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for why, c := range map[string]struct {
		set  *jwks.Set
		want bool
	}{
		"the same set":           {before, true},
		"read again":             {parse(ecKey, rsaKey), true},
		"with what is not used":  {parse(rsaKey.with("x5t", "abc")), true},
		"gone":                   {parse(ecKey, edKey), false},
		"another id":             {parse(rsaKey.with("kid", "rsa2")), false},
		"no id":                  {parse(rsaKey.with("kid", nil)), false},
		"another algorithm":      {parse(rsaKey.with("alg", "PS256")), false},
		"any algorithm":          {parse(rsaKey.with("alg", nil)), false},
		"another modulus":        {parse(rsaKey.with("n", b64(other.N.Bytes()))), false},
		"another exponent":       {parse(rsaKey.with("e", "Aw")), false},
		"in a longer form":       {parse(rsaKey.with("e", "AAEAAQ==").with("n", "AAAA"+rsaKey["n"].(string)+"==")), true},
		"the zero set":           {new(jwks.Set), false},
		"no use of this kind":    {parse(edKey, rsaKey.with("use", "enc")), false},
		"the id of another key":  {parse(edKey.with("kid", "rsa1")), false},
		"beside one with its id": {parse(rsaKey, edKey), true},
	} {
		if c.set.Contains(key) != c.want {
			t.Errorf("%s: %v", why, !c.want)
		}
	}
}

func TestSecret(t *testing.T) {
	secret := func(n int, tail string) *jwks.Set {
		set, err := jwks.ParseSecret(authz.NewSecret(strings.Repeat("s", n) + tail))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	pem := string(publicPEM(t))
	for _, text := range []string{
		"", "\n", strings.Repeat("s", 31), strings.Repeat("s", 31) + "\n",
		// What is published is not a secret.
		pem, "\n" + pem, string(vectors.KeySet(t)), `{"kty":"RSA","n":"` + strings.Repeat("A", 342) + `","e":"AQAB"}`,
	} {
		if _, err := jwks.ParseSecret(authz.NewSecret(text)); err == nil {
			t.Errorf("a secret of %d bytes: accepted", len(text))
		}
	}
	for _, c := range []struct {
		size int
		want [3]bool // HS256, HS384, HS512
	}{{32, [3]bool{true}}, {47, [3]bool{true}}, {48, [3]bool{true, true}}, {63, [3]bool{true, true}}, {64, [3]bool{true, true, true}}} {
		set := secret(c.size, "")
		for i, algorithm := range []string{"HS256", "HS384", "HS512"} {
			if _, err := set.Find(jwks.Query{Algorithm: algorithm}); (err == nil) != c.want[i] {
				t.Errorf("%d bytes, %s: %v", c.size, algorithm, err)
			}
		}
		for _, algorithm := range []string{"RS256", "none", ""} {
			if _, err := set.Find(jwks.Query{Algorithm: algorithm}); !errors.Is(err, jwks.ErrNoKey) {
				t.Errorf("a secret serves %q: %v", algorithm, err)
			}
		}
	}
	set := secret(40, "\n")
	keys, err := set.Find(jwks.Query{ID: "whatever", HasID: true, Algorithm: "HS256"})
	if err != nil {
		t.Fatal(err)
	}
	key := only(keys)
	if bytes, ok := key.VerificationKey().([]byte); !ok || len(bytes) != 40 {
		t.Error("the line break is part of the secret")
	}
	if !secret(40, "").Contains(key) || secret(41, "").Contains(key) || secret(40, "\n\n").Contains(key) {
		t.Error("an equal secret is a different key, or a different secret is the same key")
	}
}

// FuzzParse checks that an error comes without a set, and that every key of a
// set is valid and equal when parsed again.
func FuzzParse(f *testing.F) {
	f.Add(vectors.KeySet(f))
	f.Add(publicPEM(f))
	for _, document := range keysWithoutType {
		f.Add([]byte(document))
	}
	for _, c := range vectors.KeySetCases(f) {
		if len(c.JWKS) < 4096 {
			f.Add([]byte(c.JWKS))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := jwks.ParseFile(data)
		if err != nil {
			if set != nil {
				t.Fatal("an error and a set")
			}
			return
		}
		again, err := jwks.ParseFile(data)
		if err != nil || again.Len() != set.Len() || set.Len() == 0 || set.Len() > 100 {
			t.Fatalf("%d keys, then %v", set.Len(), err)
		}
		for _, algorithm := range []string{"RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "none", ""} {
			keys, err := set.Find(jwks.Query{Algorithm: algorithm, OptionalID: true})
			if (err == nil) != (len(keys) > 0) || len(keys) > 4 {
				t.Fatalf("%d keys, %v", len(keys), err)
			}
			for _, key := range keys {
				checkKey(t, key, algorithm)
				if !again.Contains(key) {
					t.Fatal("parsed again, it is a different key")
				}
			}
		}
	})
}

func checkKey(t *testing.T, key *jwks.Key, algorithm string) {
	t.Helper()
	ok := false
	switch k := key.VerificationKey().(type) {
	case *rsa.PublicKey:
		ok = (algorithm[:2] == "RS" || algorithm[:2] == "PS") && k.N.BitLen() >= 2048 && k.N.BitLen() <= 4096 && k.N.Bit(0) == 1 && k.E >= 3 && k.E&1 == 1
	case *ecdsa.PublicKey:
		_, err := k.ECDH() // fails off the curve
		ok = err == nil && map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[algorithm] == k.Params().BitSize
	case ed25519.PublicKey:
		ok = algorithm == "EdDSA" && len(k) == 32
	}
	if !ok {
		t.Fatalf("%T is used for %q", key.VerificationKey(), algorithm)
	}
}

// keysWithoutType have two keys of one id, whose kty is not a text.
var keysWithoutType = []string{
	`{"keys":[{"kid":"a","kty":[]},{"kid":"a","kty":[]}]}`,
	`{"keys":[{"kid":"a","kty":{}},{"kid":"a","kty":{}}]}`,
	`{"keys":[{"kid":"a","kty":null},{"kid":"a"}]}`,
}

func TestKeysWithoutType(t *testing.T) {
	for _, document := range keysWithoutType {
		if _, err := jwks.Parse([]byte(document)); err == nil {
			t.Errorf("%s: accepted", document)
		}
	}
}
