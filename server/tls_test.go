package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/config"
)

// writePair writes a self-signed certificate of that serial number and its key.
func writePair(t *testing.T, files config.KeyPair, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "keyward"}, DNSNames: []string{"keyward"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		files.CertFile: {Type: "CERTIFICATE", Bytes: der}, files.KeyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// handshake connects and returns the serial number of the certificate shown.
func handshake(t *testing.T, server *tls.Config, client *tls.Config) (int64, error) {
	t.Helper()
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	serverErr := make(chan error, 1)
	go func() {
		conn := tls.Server(far, server)
		err := conn.Handshake()
		if err != nil {
			_ = far.Close()
		}
		serverErr <- err
	}()
	conn := tls.Client(near, client)
	if err := conn.Handshake(); err != nil {
		return 0, err
	}
	if err := <-serverErr; err != nil {
		return 0, err
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestCertificateIsReloaded(t *testing.T) {
	dir := t.TempDir()
	files := config.KeyPair{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	writePair(t, files, 1)
	now := time.Now()
	var log bytes.Buffer
	server, err := newTLS(files, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now }, "h2")
	if err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	expect := func(want int64) {
		t.Helper()
		now = now.Add(time.Second)
		if got, err := handshake(t, server, client); err != nil || got != want {
			t.Errorf("certificate %d, %v; want %d", got, err, want)
		}
	}
	expect(1)
	writePair(t, files, 2)
	expect(2)
	if err := os.WriteFile(files.CertFile, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(2)
	if !strings.Contains(log.String(), "the last good one stays") {
		t.Errorf("log %s", &log)
	}
	writePair(t, files, 3)
	expect(3)
	if _, err := newTLS(config.KeyPair{CertFile: "nowhere", KeyFile: "nowhere"}, nil, time.Now); err == nil {
		t.Error("a certificate that is not there")
	}
}

func TestClientCertificateIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	files := config.KeyPair{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key"), ClientCAFile: filepath.Join(dir, "cert")}
	writePair(t, files, 1)
	server, err := newTLS(files, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	// TLS 1.2 tells the client in the handshake; 1.3 would at its first read.
	without := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	if _, err := handshake(t, server, without); err == nil {
		t.Error("accepted without a certificate")
	}
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	with := without.Clone()
	with.Certificates = []tls.Certificate{pair}
	if _, err := handshake(t, server, with); err != nil {
		t.Errorf("with the right certificate: %v", err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	files.ClientCAFile = empty
	if _, err := newTLS(files, nil, time.Now); err == nil {
		t.Error("an empty client CA file would admit no client, or every client")
	}
}

func TestStaleSocketIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	first, err := listen("grpc", "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen("grpc", "unix://"+path); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a socket that is served: %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as after kill -9
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := listen("grpc", "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	_ = second.Close()
}
