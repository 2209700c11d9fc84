package tokensource_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyward/internal/eventually"
	"keyward/internal/syncbuffer"
	"keyward/verifier/jwks"
	"keyward/verifier/tokensource"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func findIn(f *tokensource.File, kid, algorithm string) (*jwks.Key, error) {
	return firstKey(f.Find(context.Background(), jwks.Query{ID: kid, HasID: true, Algorithm: algorithm}, time.Now()))
}

func TestJWKSFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	var log bytes.Buffer
	seen := &countingObserver{}
	f := tokensource.NewJWKSFile(path, slog.New(slog.NewTextHandler(&log, nil)), seen)
	if f.Path() != path || f.Ready() == nil || seen.failed.Load() != 1 {
		t.Errorf("a missing file: path %s, ready %v, %d failures", f.Path(), f.Ready(), seen.failed.Load())
	}
	if _, err := findIn(f, "a", "EdDSA"); !isUnavailable(err) {
		t.Errorf("with no file: %v", err)
	}
	write(t, path, jwkSet(jwk(t, "a")))
	f.Reload()
	key, err := findIn(f, "a", "EdDSA")
	if err != nil || !f.Contains(key) || f.Ready() != nil {
		t.Fatalf("key %v, error %v, ready %v", key, err, f.Ready())
	}
	for name, text := range map[string]string{
		"empty": "", "not JSON": "keyword-of-the-file", "no keys": jwkSet(), "private": jwkSet(strings.Replace(jwk(t, "b"), "{", `{"d":"AA",`, 1)),
		"oversize": jwkSet(jwk(t, "b")) + strings.Repeat(" ", 512<<10),
	} {
		write(t, path, text)
		failed := seen.failed.Load()
		f.Reload()
		if again, err := findIn(f, "a", "EdDSA"); err != nil || again != key || !f.Contains(key) || f.Ready() != nil || seen.failed.Load() != failed+1 {
			t.Errorf("%s: the last good keys are not in force: %v, %v", name, again, err)
		}
	}
	if strings.Contains(log.String(), "keyword-of-the-file") || !strings.Contains(log.String(), path) {
		t.Errorf("log: %s", log.String())
	}
	write(t, path, jwkSet(jwk(t, "b")))
	if f.Reload(); f.Contains(key) || seen.ok.Load() != 2 {
		t.Errorf("a key that left the file is still valid, or the observer was not notified (%d)", seen.ok.Load())
	}
	if _, err := findIn(f, "a", "EdDSA"); !errors.Is(err, jwks.ErrNoKey) {
		t.Errorf("a key that left the file: %v", err)
	}
}

// TestIgnoredKeysAreLogged checks that each ignored key is logged when they
// change, for a file and over the network.
func TestIgnoredKeysAreLogged(t *testing.T) {
	const odd = `{"kty":"OKP","crv":"Ed448","kid":"odd","x":"AA"}`
	path, m := filepath.Join(t.TempDir(), "jwks.json"), newFaultServer(t)
	sets := func(text string) { write(t, path, text); m.set(respond(text)) }
	sets(jwkSet(jwk(t, "a"), odd))
	var fileLog, remoteLog syncbuffer.Buffer
	seenFile, seenRemote := &countingObserver{}, &countingObserver{}
	f := tokensource.NewJWKSFile(path, slog.New(slog.NewTextHandler(&fileLog, nil)), seenFile)
	newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url(), Refresh: time.Millisecond, Observer: seenRemote, Log: slog.New(slog.NewTextHandler(&remoteLog, nil))})
	expectLines := func(lines, ignored int64) {
		t.Helper()
		refreshed := seenRemote.ok.Load() + 2
		f.Reload()
		eventually.Succeeds(t, func() error {
			if ok := seenRemote.ok.Load(); ok < refreshed {
				return fmt.Errorf("%d refreshes, want %d", ok, refreshed)
			}
			return nil
		})
		for name, log := range map[string]*syncbuffer.Buffer{"file": &fileLog, "remote": &remoteLog} {
			if got := strings.Count(log.String(), "left out"); got != int(lines) || !strings.Contains(log.String(), `kid=odd why="crv is not Ed25519"`) {
				t.Errorf("%s: %d lines, want %d: %s", name, got, lines, log.String())
			}
		}
		if seenFile.ignored.Load() != ignored || seenRemote.ignored.Load() != ignored {
			t.Errorf("%d and %d ignored, want %d", seenFile.ignored.Load(), seenRemote.ignored.Load(), ignored)
		}
	}
	expectLines(1, 1)
	sets(jwkSet(jwk(t, "a"), odd, strings.Replace(odd, "odd", "another", 1)))
	eventually.Succeeds(t, func() error { return seenRemote.expectIgnored(2) })
	expectLines(3, 2)
	sets(jwkSet(jwk(t, "a")))
	eventually.Succeeds(t, func() error { return seenRemote.expectIgnored(0) })
	expectLines(4, 0) // the fourth line says that none is left out
}

func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write(t, path, "too short")
	f := tokensource.NewSecretFile(path, nil, nil)
	if _, err := findIn(f, "", "HS256"); !isUnavailable(err) || f.Ready() == nil || f.Contains(&jwks.Key{}) {
		t.Errorf("a short secret: %v", err)
	}
	write(t, path, strings.Repeat("s", 64)+"\n")
	f.Reload()
	key, err := firstKey(f.Find(context.Background(), jwks.Query{Algorithm: "HS256"}, time.Now()))
	if err != nil || string(key.VerificationKey().([]byte)) != strings.Repeat("s", 64) {
		t.Errorf("key %v, error %v", key, err)
	}
	write(t, path, strings.Repeat("s", 5<<10))
	if f.Reload(); !f.Contains(key) {
		t.Error("an oversized file replaced a good one")
	}
}

// TestIrregularFile checks that a pipe or a device, which may never end, is not
// read.
func TestIrregularFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, dir, os.DevNull} {
		returnsWithin(t, slack, "reading "+path, func() {
			if tokensource.NewSecretFile(path, nil, nil).Ready() == nil {
				t.Errorf("%s was read", path)
			}
		})
	}
	link := filepath.Join(dir, "link") // Kubernetes mounts files as links
	write(t, filepath.Join(dir, "jwks.json"), jwkSet(jwk(t, "a")))
	if err := os.Symlink("jwks.json", link); err != nil {
		t.Fatal(err)
	}
	if err := tokensource.NewJWKSFile(link, nil, nil).Ready(); err != nil {
		t.Errorf("a link: %v", err)
	}
}

// TestPEMFile: the file may have public keys in PEM, which have no ids. A private
// key is not accepted, and the last good keys stay.
func TestPEMFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.pem")
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	f := tokensource.NewJWKSFile(path, nil, nil)
	key, err := findIn(f, "any", "EdDSA")
	if err != nil || !public.Equal(key.VerificationKey()) {
		t.Fatalf("%v, %v", key, err)
	}
	if der, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		t.Fatal(err)
	}
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	f.Reload()
	if again, err := findIn(f, "any", "EdDSA"); err != nil || again != key {
		t.Errorf("the last good key is not in force: %v", err)
	}
}

// firstKey returns the first of the keys that Find returned.
func firstKey(keys []*jwks.Key, err error) (*jwks.Key, error) {
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}
