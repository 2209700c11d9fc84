package e2e

import (
	"encoding/json"
	"net"
	"slices"
	"testing"

	"keyward/e2e/stack"
)

// verified is the response to a caller about its own credential.
type verified struct {
	Authenticated bool
	UserID        string `json:"user_id"`
	Scopes        []string
	ExpiresAt     *string `json:"expires_at"`
}

// TestVerify uses /v1/auth/verify by the route of the shipped envoy.yaml: no
// path rule applies, and no request reaches the upstream.
func TestVerify(t *testing.T) { throughProxies(t, verify) }

func verify(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: routesConfig})
	alice := s.key("--name", "a", "--user", "alice", "--path", "/hello", "--scope", "b", "--scope", "a")
	bare := s.key("--name", "bare", "--expires", "2100-01-02T03:04:05Z")
	unknown := s.keyward("key", "create", "--name", "unknown", "--file", "elsewhere.jsonl")
	s.start()
	const path = "/v1/auth/verify"
	for _, lines := range [][]string{
		{bearer(alice)}, {"X-API-Key: " + alice}, {"Cookie: session=" + alice},
		{bearer(alice), "x-auth-subject: evil", "X-Auth-Scopes: admin", "x.auth.subject: evil"},
	} {
		a := s.get(path+"?verbose=1", lines...)
		var got verified
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 || !got.Authenticated ||
			got.UserID != "alice" || !slices.Equal(got.Scopes, []string{"a", "b"}) || got.ExpiresAt != nil {
			t.Errorf("%q: %d %s (%v)", lines[0][:9], a.status, a.body, err)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("header %v", a.header)
		}
	}
	if a := s.get(path, bearer(bare)); a.body != `{"authenticated":true,"user_id":"`+s.idOf(bare)+`","scopes":[],"expires_at":"2100-01-02T03:04:05Z"}` {
		t.Errorf("a key without user and scopes: %d %s", a.status, a.body)
	}
	s.verifyRefuses(alice, unknown)
	if n := s.arrived(); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	// A path that only resembles it is the API's, and checked as such.
	for _, other := range []string{path + "/", path + "/x", "/v1/auth/verifyx"} {
		if a := s.get(other, bearer(alice)); a.status != 403 || a.reason() != "path_not_allowed" {
			t.Errorf("%s: %d %s", other, a.status, a.reason())
		}
	}
	s.Keyward.Kill()
	if a := s.get(path, bearer(alice)); a.status != 503 {
		t.Errorf("without Keyward: %d", a.status)
	}
}

// verifyRefuses sends requests that must not reveal anything about a
// credential.
func (s *system) verifyRefuses(key, unknown string) {
	s.t.Helper()
	for _, c := range []struct {
		method string
		lines  []string
		status int
		reason string
	}{
		{"GET", nil, 401, "no_credential"},
		{"GET", []string{"x-auth-subject: alice"}, 401, "no_credential"},
		{"GET", []string{bearer(unknown)}, 401, "unknown_key"},
		{"GET", []string{bearer(key), "X-API-Key: " + key}, 401, "ambiguous_credential"},
		{"POST", []string{bearer(key), "Content-Length: 0"}, 405, ""},
		{"HEAD", []string{bearer(key)}, 200, ""},
	} {
		if a := s.request(c.method, "/v1/auth/verify", c.lines...); a.status != c.status || a.reason() != c.reason {
			s.t.Errorf("%s with %d lines: %d %s, want %d %s", c.method, len(c.lines), a.status, a.reason(), c.status, c.reason)
		}
	}
}

// TestOnlyTheProxyIsTrusted uses Keyward's HTTP listener like a proxy on this
// machine, whose scheme header is trusted, and like a client that the operator
// does not trust.
func TestOnlyTheProxyIsTrusted(t *testing.T) {
	for name, c := range map[string]struct {
		trusted string
		status  int
	}{"loopback": {"[]", 200}, "another": {"[192.0.2.1]", 403}} {
		t.Run(name, func(t *testing.T) {
			s := newSystem(t, options{config: "require_https: true\ntrusted_proxies: " + c.trusted + "\n"})
			key := s.key("--name", "k")
			s.start()
			conn, err := net.Dial("tcp", stack.Address(s.Ports().HTTP))
			if err != nil {
				t.Fatal(err)
			}
			a, err := exchange(conn, "GET", "GET /v1/auth/verify HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https\r\n"+bearer(key)+"\r\nConnection: close\r\n\r\n")
			if err != nil || a.status != c.status {
				t.Errorf("%d %s (%v), want %d", a.status, a.body, err, c.status)
			}
		})
	}
}
