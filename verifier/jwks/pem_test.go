package jwks_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"keyward/internal/vectors"
	"keyward/verifier/jwks"
)

func block(label string, der []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

func spki(public any) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	return block("PUBLIC KEY", der, err)
}

// publicPEM is a file with the keys of the vectors' set.
func publicPEM(t testing.TB) []byte {
	t.Helper()
	set, err := jwks.Parse(vectors.KeySet(t))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		keys, err := set.Find(jwks.Query{Algorithm: algorithm})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, spki(keys[0].VerificationKey())...)
	}
	return all
}

func certificate(t *testing.T, public, private any) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	return block("CERTIFICATE", der, err)
}

func newRSA(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestPEM has what a file may have, with the number of its keys, and what makes
// it refused.
func TestPEM(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, weak := newRSA(t, 2048), newRSA(t, 1024)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := spki(&key.PublicKey)
	three := string(publicPEM(t))
	for why, c := range map[string]struct {
		text    string
		keys    int
		ignored string
		want    string // the error
	}{
		"SPKI":                         {public, 1, "", ""},
		"three":                        {three, 3, "", ""},
		"PKCS #1":                      {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey), nil), 1, "", ""},
		"a certificate that has ended": {certificate(t, &key.PublicKey, key), 1, "", ""},
		"the same key twice":           {public + certificate(t, &key.PublicKey, key), 1, "", ""},
		"with Windows's line ends":     {strings.ReplaceAll(public, "\n", "\r\n"), 1, "", ""},
		"text in front and behind":     {"Issuer: x\n" + public + "\nend", 1, "", ""},
		"a weak key beside it":         {public + spki(&weak.PublicKey), 1, "n has fewer than 2048 bits", ""},
		"P-224 beside it":              {spki(&p224.PublicKey) + public, 1, "crv is not P-256, P-384 or P-521", ""},
		"parameters beside it":         {block("EC PARAMETERS", []byte{6}, nil) + public, 1, "it is not a block of PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", ""},
		"a key that cannot be read":    {block("PUBLIC KEY", []byte("junk"), nil) + public, 1, "it does not have a public key that can be read", ""},

		"a weak key":              {spki(&weak.PublicKey), 0, "", "no usable key; key 0: n has fewer than 2048 bits"},
		"a weak certificate":      {certificate(t, &weak.PublicKey, weak), 0, "", "no usable key; key 0: n has fewer than 2048 bits"},
		"a private key":           {block("PRIVATE KEY", private, nil), 0, "", "it has a private key"},
		"an RSA private key":      {public + block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), nil), 0, "", "it has a private key"},
		"an encrypted one":        {public + block("ENCRYPTED PRIVATE KEY", private, nil), 0, "", "it has a private key"},
		"a damaged private one":   {public + "-----BEGIN OPENSSH PRIVATE KEY-----\n!!", 0, "", "it has a private key"},
		"a private one in a line": {public + "x -----BEGIN PRIVATE KEY-----", 0, "", "it has a private key"},
		"a block that is cut off": {public + public[:200], 0, "", "one of the 2 blocks of PEM is damaged"},
		"the first is damaged":    {strings.Replace(public, "MII", "!II", 1) + three, 0, "", "one of the 4 blocks of PEM is damaged"},
		"101 keys":                {strings.Repeat(public, 101), 0, "", "over 100 keys"},
		"over 512 KiB":            {public + strings.Repeat(" ", 512<<10), 0, "", "over 524288 bytes"},
		"nothing but text":        {"PUBLIC KEY", 0, "", "not a JSON object"},
		"JSON with a block in it": {`{"keys":"-----BEGIN PUBLIC KEY-----"}`, 0, "", "no list of keys"},
	} {
		set, err := jwks.ParseFile([]byte(c.text))
		switch {
		case c.want != "":
			if set != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", why, err)
			}
		case err != nil || set.Len() != c.keys:
			t.Errorf("%s: %v", why, err)
		case (c.ignored == "") != (len(set.Ignored()) == 0) || c.ignored != "" && set.Ignored()[0].Why != c.ignored:
			t.Errorf("%s: ignored are %v", why, set.Ignored())
		}
		if _, err := jwks.Parse([]byte(c.text)); err == nil {
			t.Errorf("%s: accepted from a URL", why)
		}
	}
}

// TestPEMIsTheSameKey: a key in PEM verifies what the same key in a key set does.
func TestPEMIsTheSameKey(t *testing.T) {
	fromSet, err := jwks.Parse(vectors.KeySet(t))
	if err != nil {
		t.Fatal(err)
	}
	fromPEM, err := jwks.ParseFile(publicPEM(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		a, errA := fromSet.Find(jwks.Query{Algorithm: algorithm})
		b, errB := fromPEM.Find(jwks.Query{Algorithm: algorithm})
		if errA != nil || errB != nil || !b[0].VerificationKey().(interface{ Equal(crypto.PublicKey) bool }).Equal(a[0].VerificationKey()) {
			t.Errorf("%s: %v, %v", algorithm, errA, errB)
		}
	}
}

// TestPEMHasNoIDs: a kid says nothing about keys in PEM. Of several that fit, none
// is chosen, unless they may be tried.
func TestPEMHasNoIDs(t *testing.T) {
	one, err := jwks.ParseFile(publicPEM(t))
	if err != nil {
		t.Fatal(err)
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	two, err := jwks.ParseFile(bytes.Join([][]byte{publicPEM(t), []byte(spki(public))}, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []jwks.Query{{ID: "any", HasID: true, Algorithm: "EdDSA"}, {Algorithm: "EdDSA"}} {
		if keys, err := one.Find(q); err != nil || len(keys) != 1 {
			t.Errorf("one key: %v", err)
		}
		if keys, err := two.Find(q); !errors.Is(err, jwks.ErrManyKeys) || keys != nil {
			t.Errorf("two keys: %v", err)
		}
		q.OptionalID = true
		if keys, err := two.Find(q); err != nil || len(keys) != 2 {
			t.Errorf("two keys that may be tried: %v", err)
		}
	}
}
