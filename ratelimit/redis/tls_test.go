package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/ratelimit"
)

// serverCertificate writes a certificate for 127.0.0.1 and its key, and returns
// a pool that trusts it.
func serverCertificate(t *testing.T) (certFile, keyFile string, trust *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	trust = x509.NewCertPool()
	trust.AddCert(certificate)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, content []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret), trust
}

// TestTLS: a server is trusted by its certificate only.
func TestTLS(t *testing.T) {
	certFile, keyFile, trust := serverCertificate(t)
	port := freePort(t)
	startServer(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no", "--requirepass", "right")
	for name, line := range map[string]struct {
		host  string
		trust *tls.Config
		says  string
	}{
		"trusted":         {"127.0.0.1", &tls.Config{RootCAs: trust}, ""},
		"by another name": {"localhost", &tls.Config{RootCAs: trust}, "not valid"},
		"not trusted":     {"127.0.0.1", nil, "unknown authority"},
	} {
		s, err := New(Config{URL: authz.NewSecret("rediss://:right@" + line.host + ":" + port), TLS: line.trust, Timeout: patient})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, err = s.Take(t.Context(), time.Now(), []ratelimit.Limit{limit(numbered(1, 1), ratelimit.Rate{Count: 1, Period: time.Hour})}, make([]ratelimit.Result, 1))
		if (err == nil) != (line.says == "") || err != nil && !strings.Contains(err.Error(), line.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
