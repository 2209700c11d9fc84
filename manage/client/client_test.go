package client

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/authz"
)

// TestServers: a token is sent over TLS, or to this machine.
func TestServers(t *testing.T) {
	for url, want := range map[string]string{
		"https://keyward.example.com":      "https://keyward.example.com",
		"https://keyward.example.com:9194": "https://keyward.example.com:9194",
		"https://keyward.example.com/":     "https://keyward.example.com",
		"http://127.0.0.1:9194":            "http://127.0.0.1:9194",
		"http://[::1]:9194":                "http://[::1]:9194",
		"http://localhost:9194":            "http://localhost:9194",
		"http://127.8.9.1":                 "http://127.8.9.1",

		"http://keyward.example.com":               "",
		"http://192.0.2.1:9194":                    "",
		"http://0.0.0.0:9194":                      "",
		"http://localhost.example.com":             "",
		"http://127.0.0.1.example.com":             "",
		"ftp://127.0.0.1":                          "",
		"127.0.0.1:9194":                           "",
		"//127.0.0.1":                              "",
		"https://":                                 "",
		"https://:9194":                            "",
		"https://user:password@example.com":        "",
		"https://keyward.example.com/api/v1":       "",
		"https://keyward.example.com?x=1":          "",
		"https://keyward.example.com#x":            "",
		"https:keyward.example.com":                "",
		"https://keyward.example.com\n":            "",
		"https://keyward.example.com/../elsewhere": "",
	} {
		c, err := New(Config{URL: url, Token: token})
		switch {
		case want == "" && (!errors.Is(err, ErrServer) || strings.Contains(err.Error(), "password@")):
			t.Errorf("%q: %v", url, err)
		case want != "" && (err != nil || c.Server() != want):
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestLoopbackOnly: without TLS it is the address that counts, not the name.
func TestLoopbackOnly(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true,
		"192.0.2.1:80": false, "[2001:db8::1]:80": false, "0.0.0.0:80": false, "": false,
	} {
		if got := loopbackOnly("tcp", address, nil) == nil; got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	c, err := New(Config{URL: "http://localhost:1", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	dial := c.http.Transport.(*http.Transport).DialContext
	if _, err := dial(t.Context(), "tcp", "192.0.2.1:80"); !errors.Is(err, errNotLoopback) {
		t.Errorf("a connection elsewhere: %v", err)
	}
	if c.http.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy without TLS")
	}
}

func TestTokens(t *testing.T) {
	for _, bad := range []string{"", "a b", "a\nb", "a\x00", "é"} {
		if _, err := New(Config{URL: "https://a.example", Token: authz.NewSecret(bad)}); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestTrust: a certificate of the file's authorities is accepted, and no other.
func TestTrust(t *testing.T) {
	s := httptest.NewTLSServer(answers(200, `{"total": 3}`))
	t.Cleanup(s.Close)
	other := httptest.NewUnstartedServer(answers(200, `{}`))
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other.Close()
	own := write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	for name, test := range map[string]struct {
		file, url, want string
	}{
		"the server's authority":        {own, s.URL, ""},
		"the authorities of the system": {"", s.URL, "certificate"},
		"another name":                  {own, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), "certificate"},
		"no certificate":                {write("none.pem", []byte("none")), s.URL, "none.pem has no certificate"},
		"no file":                       {filepath.Join(dir, "missing"), s.URL, "reading certificates"},
	} {
		c, err := New(Config{URL: test.url, Token: token, CAFile: test.file, Pause: func(context.Context, time.Duration) error {
			t.Errorf("%s: asked again", name)
			return nil
		}})
		if err == nil {
			_, err = c.KeyUsage(t.Context(), someID)
			c.Close()
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoRedirect: the token goes to no other server, nor to another path.
func TestNoRedirect(t *testing.T) {
	elsewhere := newFakeServer(t, answers(200, `{}`))
	for _, status := range []int{301, 302, 303, 307, 308} {
		f := newFakeServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.url, status) })
		_, err := f.Key(t.Context(), someID)
		if err == nil || !strings.Contains(err.Error(), "a redirect is not followed") {
			t.Errorf("%d: %v", status, err)
		}
		if len(f.requests()) != 1 || len(elsewhere.requests()) != 0 {
			t.Errorf("%d: %d requests, and %d elsewhere", status, len(f.requests()), len(elsewhere.requests()))
		}
	}
}

// TestBounded: no answer is larger than the client takes.
func TestBounded(t *testing.T) {
	f := newFakeServer(t, answers(200, `{"name": "`+strings.Repeat("a", maxAnswer)+`"}`))
	if _, err := f.Key(t.Context(), someID); !errors.Is(err, errAnswer) || len(f.requests()) != 1 {
		t.Errorf("%v after %d requests", err, len(f.requests()))
	}
	f = newFakeServer(t, answers(200, `{"items": [{"id": "k_1"}], "next_cursor": "again"}`))
	if _, err := f.ListUsers(t.Context()); err == nil || len(f.requests()) > 2 {
		t.Errorf("a list without an end: %v after %d requests", err, len(f.requests()))
	}
	f = newFakeServer(t, answers(200, `{"items": [], "next_cursor": "more"}`))
	if _, err := f.ListUsers(t.Context()); err == nil || len(f.requests()) > 1 {
		t.Errorf("a list of nothing without an end: %v after %d requests", err, len(f.requests()))
	}
}

// TestUnreachable: a server that is not there is asked once.
func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{URL: "http://" + address, Token: token, Pause: func(context.Context, time.Duration) error {
		t.Error("asked again")
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Key(t.Context(), someID); err == nil || !strings.Contains(err.Error(), "no answer of http://"+address+": ") {
		t.Errorf("%v", err)
	}
}
