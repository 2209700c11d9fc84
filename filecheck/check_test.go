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
	"testing"
	"time"

	"keyward/config"
)

// TestCertificatesOfAllListeners: a certificate is accepted and another file is refused,
// whichever listener it is for.
func TestCertificatesOfAllListeners(t *testing.T) {
	good, bad := writeCertificate(t), filepath.Join(t.TempDir(), "not-a-certificate")
	if err := os.WriteFile(bad, []byte("anything"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, pair := range []config.KeyPair{good, {CertFile: bad, KeyFile: good.KeyFile}} {
		c := &check{cfg: &config.Config{TLS: config.TLS{GRPC: pair, HTTP: pair, Admin: pair, Console: pair}}}
		for _, listener := range []string{"grpc", "http", "admin", "console"} {
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
