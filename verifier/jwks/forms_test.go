package jwks_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"keyward/verifier/jwks"
)

// TestForms: a number is the same with zero bytes in front, and bytes are the
// same with their padding. Coordinates have a fixed length.
func TestForms(t *testing.T) {
	rsaKey, ecKey, edKey := vectorKeys(t)
	plain, err := jwks.Parse(document(t, rsaKey, ecKey, edKey))
	if err != nil {
		t.Fatal(err)
	}
	decode := func(k jwk, name string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(k[name].(string))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	zero := func(b []byte) string { return b64(append([]byte{0}, b...)) }
	padded := base64.URLEncoding.EncodeToString
	for why, c := range map[string]struct {
		key       jwk
		algorithm string // "": it is left out
	}{
		"a modulus with a zero byte":   {rsaKey.with("n", zero(decode(rsaKey, "n"))), "RS256"},
		"with a thousand":              {rsaKey.with("n", b64(append(make([]byte, 1000), decode(rsaKey, "n")...))), "RS256"},
		"an exponent with a zero byte": {rsaKey.with("e", zero(decode(rsaKey, "e"))), "RS256"},
		"a padded modulus":             {rsaKey.with("n", padded(decode(rsaKey, "n"))), "RS256"},
		"both":                         {rsaKey.with("n", padded(append([]byte{0}, decode(rsaKey, "n")...))), "RS256"},
		"padded coordinates":           {ecKey.with("x", padded(decode(ecKey, "x"))).with("y", padded(decode(ecKey, "y"))), "ES256"},
		"a padded Ed25519 key":         {edKey.with("x", padded(decode(edKey, "x"))), "EdDSA"},
		"a coordinate with a zero":     {ecKey.with("x", zero(decode(ecKey, "x"))), ""},
		"an Ed25519 key with a zero":   {edKey.with("x", zero(decode(edKey, "x"))), ""},
	} {
		set, err := jwks.Parse(document(t, c.key))
		if c.algorithm == "" {
			if err == nil {
				t.Errorf("%s: accepted", why)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", why, err)
			continue
		}
		keys, err := set.Find(jwks.Query{Algorithm: c.algorithm})
		if err != nil || !plain.Contains(only(keys)) {
			t.Errorf("%s: it is another key, %v", why, err)
		}
	}
}

// TestOneIDForSeveralKeys: keys of one id have different algorithms or types, or
// are the same key.
func TestOneIDForSeveralKeys(t *testing.T) {
	rsaKey, ecKey, edKey := vectorKeys(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, ecKey, edKey = rsaKey.with("kid", "k"), ecKey.with("kid", "k"), edKey.with("kid", "k")
	other := rsaKey.with("n", b64(private.N.Bytes()))
	const anyRSA = "RS256 RS384 RS512 PS256 PS384 PS512"
	alg := func(k jwk, name any) jwk { return k.with("alg", name) }
	for why, c := range map[string]struct {
		keys  []jwk
		found string // algorithms for which the id finds a key; "": the set is refused
	}{
		"one key, three algorithms":       {[]jwk{alg(rsaKey, "RS256"), alg(rsaKey, "RS384"), alg(rsaKey, "RS512")}, "RS256 RS384 RS512"},
		"two keys, two algorithms":        {[]jwk{alg(rsaKey, "RS256"), alg(other, "PS256")}, "RS256 PS256"},
		"three types":                     {[]jwk{alg(rsaKey, nil), alg(ecKey, nil), alg(edKey, nil)}, anyRSA + " ES256 EdDSA"},
		"the same key twice":              {[]jwk{alg(rsaKey, "RS256"), alg(rsaKey, "RS256")}, "RS256"},
		"the same in another form":        {[]jwk{alg(rsaKey, "RS256"), alg(rsaKey, "RS256").with("n", "AAAA"+rsaKey["n"].(string))}, "RS256"},
		"the same with and without alg":   {[]jwk{alg(rsaKey, "RS256"), alg(rsaKey, nil)}, anyRSA},
		"one of them to encrypt with":     {[]jwk{alg(rsaKey, "RS256"), alg(other, nil).with("use", "enc")}, "RS256"},
		"another algorithm that is left":  {[]jwk{alg(rsaKey, "RS256"), alg(other, "RSA-OAEP")}, "RS256"},
		"another key, the same algorithm": {[]jwk{alg(rsaKey, "RS256"), alg(other, "RS256")}, ""},
		"another key of any algorithm":    {[]jwk{alg(rsaKey, "RS256"), alg(other, nil)}, ""},
		"two keys of any algorithm":       {[]jwk{alg(rsaKey, nil), alg(other, nil)}, ""},
		"the second is weak":              {[]jwk{alg(rsaKey, "RS256"), alg(rsaKey, "RS256").with("n", modulus(t, 1024))}, ""},
		"the first is weak, of any":       {[]jwk{alg(rsaKey, nil).with("n", modulus(t, 1024)), alg(rsaKey, "RS256")}, ""},
		"of a type that is not known":     {[]jwk{alg(rsaKey, nil).with("kty", "AKP"), alg(other, nil).with("kty", "AKP"), edKey}, ""},
	} {
		set, err := jwks.Parse(document(t, c.keys...))
		if (err == nil) != (c.found != "") {
			t.Errorf("%s: %v", why, err)
			continue
		}
		for _, algorithm := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "EdDSA"} {
			if err != nil {
				break
			}
			keys, err := set.Find(jwks.Query{ID: "k", HasID: true, Algorithm: algorithm})
			if wanted := strings.Contains(c.found, algorithm); (err == nil) != wanted || wanted && only(keys) == nil {
				t.Errorf("%s: %s: %d keys, %v", why, algorithm, len(keys), err)
			}
		}
	}
}

// TestOptionalID: at most four keys are tried, never one that has another id
// than the token names, and only if that is allowed.
func TestOptionalID(t *testing.T) {
	_, ecKey, _ := vectorKeys(t)
	var named, unnamed []jwk
	for n := range 6 {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		key := ecKey.with("x", b64(point[1:33])).with("y", b64(point[33:])).with("alg", nil)
		named, unnamed = append(named, key.with("kid", fmt.Sprint("id", n))), append(unnamed, key.with("kid", nil))
	}
	weak := ecKey.with("kid", "weak").with("x", "AAAA")
	for why, c := range map[string]struct {
		keys         []jwk
		query        jwks.Query
		strict, lax  int // keys that are found
		strictReason error
	}{
		"no id, two keys":                   {named[:2], jwks.Query{}, 0, 2, jwks.ErrManyKeys},
		"no id, six keys":                   {named, jwks.Query{}, 0, 4, jwks.ErrManyKeys},
		"no id, one key":                    {named[:1], jwks.Query{}, 1, 1, nil},
		"no id, one key under two":          {[]jwk{named[0], unnamed[0]}, jwks.Query{}, 0, 1, jwks.ErrManyKeys},
		"an unknown id":                     {named, jwks.Query{ID: "other", HasID: true}, 0, 0, jwks.ErrNoKey},
		"an unknown id, a key without one":  {append(named[:1:1], unnamed[1]), jwks.Query{ID: "other", HasID: true}, 0, 1, jwks.ErrNoKey},
		"a known id, a key without one":     {append(named[:1:1], unnamed[1]), jwks.Query{ID: "id0", HasID: true}, 1, 1, nil},
		"an id of a key that is left out":   {append(unnamed[:1:1], weak), jwks.Query{ID: "weak", HasID: true}, 0, 0, jwks.ErrNoKey},
		"an unknown id, six without one":    {unnamed, jwks.Query{ID: "other", HasID: true}, 0, 4, jwks.ErrNoKey},
		"an empty id":                       {unnamed[:1], jwks.Query{ID: "", HasID: true}, 0, 1, jwks.ErrNoKey},
		"a key without an id, another type": {unnamed[:1], jwks.Query{ID: "other", HasID: true, Algorithm: "RS256"}, 0, 0, jwks.ErrNoKey},
	} {
		set, err := jwks.Parse(document(t, c.keys...))
		if err != nil {
			t.Fatal(why, err)
		}
		if c.query.Algorithm == "" {
			c.query.Algorithm = "ES256"
		}
		keys, err := set.Find(c.query)
		if len(keys) != c.strict || !errors.Is(err, c.strictReason) {
			t.Errorf("%s: %d keys, %v", why, len(keys), err)
		}
		c.query.OptionalID = true
		if keys, err = set.Find(c.query); len(keys) != c.lax || (err == nil) != (c.lax > 0) {
			t.Errorf("%s, optional: %d keys, %v", why, len(keys), err)
		}
		seen := map[any]bool{}
		for _, key := range keys {
			if id, has := key.ID(); seen[key] || c.query.HasID && has && id != c.query.ID {
				t.Errorf("%s: key %q is tried, or tried twice", why, id)
			}
			seen[key] = true
		}
	}
}

// TestContainsByKey: the thumbprint is of the numbers, and not of their text.
func TestContainsByKey(t *testing.T) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parse := func(x string) *jwks.Set {
		set, err := jwks.Parse(document(t, jwk{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": x}))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	keys, err := parse(b64(public)).Find(jwks.Query{ID: "a", HasID: true, Algorithm: "EdDSA"})
	if err != nil || !parse(base64.URLEncoding.EncodeToString(public)).Contains(only(keys)) {
		t.Errorf("padded, it is another key: %v", err)
	}
}
