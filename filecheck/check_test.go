package filecheck

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/config"
	"keyward/manage/signingkeys"
)

// TestCertificatesOfAllListeners: a certificate is accepted and another file is refused,
// whichever listener it is for.
func TestCertificatesOfAllListeners(t *testing.T) {
	good, bad := writeCertificate(t), filepath.Join(t.TempDir(), "not-a-certificate")
	if err := os.WriteFile(bad, []byte("anything"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, pair := range []config.KeyPair{good, {CertFile: bad, KeyFile: good.KeyFile}} {
		c := &check{cfg: &config.Config{TLS: config.TLS{GRPC: pair, HTTP: pair, Admin: pair, Console: pair, Issuer: pair}}}
		for _, listener := range []string{"grpc", "http", "admin", "console", "issuer"} {
			err := c.file(config.File{Key: "tls." + listener + ".cert_file", Path: pair.CertFile})
			if (err == nil) != (pair == good) {
				t.Errorf("%s, %s: %v", listener, filepath.Base(pair.CertFile), err)
			}
		}
	}
}

// TestClientSecrets: a secret is in its file, whichever server it is for.
func TestClientSecrets(t *testing.T) {
	for text, good := range map[string]bool{"a secret\n": true, "a secret": true, "\n": false, "": false} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"introspection.client_secret_file", "console.oidc.client_secret_file"} {
			if err := (&check{cfg: &config.Config{}}).file(config.File{Key: key, Path: path}); (err == nil) != good {
				t.Errorf("%s with %q: %v", key, text, err)
			}
		}
	}
}

// TestIssuerKeys: the secret of signing keys is long enough, and their directory is for one
// user alone. A directory that is not there yet is not a problem, and neither is a lost key.
func TestIssuerKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "signing-keys")
	keysDir, secretFile := config.File{Key: "issuer.keys_dir", Path: dir}, config.File{Key: "issuer.keys_secret_file", Path: filepath.Join(t.TempDir(), "secret")}
	check := func(file config.File, good bool, warnings int) {
		t.Helper()
		c := &check{cfg: &config.Config{}}
		if err := c.file(file); (err == nil) != good || len(c.warnings) != warnings {
			t.Errorf("%s: %v, %v", file.Key, err, c.warnings)
		}
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check(keysDir, true, 0)
	if _, err := os.Stat(dir); err == nil {
		t.Error("the check made the directory")
	}
	storage, err := signingkeys.OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := signingkeys.Open(t.Context(), signingkeys.Config{Storage: storage, Algorithm: "ES256", RotateEvery: time.Hour, TokenTTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	check(keysDir, true, 0)
	write(filepath.Join(dir, "key-"+keys.Status()[0].ID+".pem"), "anything")
	check(keysDir, true, 1)
	write(filepath.Join(dir, "keys.json"), "anything")
	check(keysDir, true, 1)
	if err := os.Chmod(dir, 0o750); err != nil { //nolint:gosec // it is what is refused
		t.Fatal(err)
	}
	check(keysDir, false, 0)

	check(secretFile, false, 0)
	for text, good := range map[string]bool{"": false, strings.Repeat("s", 31) + "\n": false, strings.Repeat("s", 32) + "\n": true} {
		write(secretFile.Path, text)
		check(secretFile, good, 0)
	}
}

// TestPEMKeys: a file of an issuer's keys may have public keys in PEM, but no
// private key. Several keys for one algorithm need require_kid: false.
func TestPEMKeys(t *testing.T) {
	encode := func(label string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	public := func() (string, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		return encode("PUBLIC KEY", der, err), key
	}
	one, key := public()
	two, _ := public()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	private := encode("PRIVATE KEY", der, err)
	for why, c := range map[string]struct {
		text, algorithm string
		requireKid      bool
		problem         string
		warning         string
	}{
		"one key":                     {one, "ES256", true, "", ""},
		"one key, kid optional":       {one, "ES256", false, "", ""},
		"a key of another algorithm":  {one, "RS256", true, "no key in it can be used with RS256", ""},
		"two keys":                    {one + two, "ES256", true, "", "set require_kid: false"},
		"two keys, kid optional":      {one + two, "ES256", false, "", ""},
		"a private key":               {private, "ES256", true, "it has a private key", ""},
		"a private key behind public": {one + private, "ES256", false, "it has a private key", ""},
		"a block that is damaged":     {one[:100], "ES256", true, "damaged", ""},
	} {
		path := filepath.Join(t.TempDir(), "issuer.pem")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		checked := &check{cfg: &config.Config{JWT: []config.JWT{{Name: "idp", Algorithms: []string{c.algorithm}, JWKSFile: path, RequireKid: c.requireKid}}}}
		err := checked.file(config.File{Key: "jwt.jwks_file", Path: path})
		if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %v", why, err)
		}
		if text := checked.warnings.Error(); (text == "") != (c.warning == "") || !strings.Contains(text, c.warning) {
			t.Errorf("%s: warnings %q", why, text)
		}
		if err != nil && strings.Contains(err.Error(), "MI") {
			t.Errorf("%s: the content is in the message: %v", why, err)
		}
	}
}

// writeCertificate writes a certificate and its key.
func writeCertificate(t *testing.T) config.KeyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pair := config.KeyPair{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{pair.CertFile: {Type: "CERTIFICATE", Bytes: cert}, pair.KeyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pair
}

func TestFileOfKeyWithoutCheckIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readable")
	if err := os.WriteFile(path, []byte("anything"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &check{cfg: &config.Config{}}
	for _, key := range []string{"keys.other_file", "tlsx.grpc.cert_file", ""} {
		if err := c.file(config.File{Key: key, Path: path}); err == nil {
			t.Errorf("check of %q accepts a file that it has no check for", key)
		}
	}
}
