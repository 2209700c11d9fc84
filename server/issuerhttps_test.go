package server_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestIssuerOverHTTPS: with require_https the issuer takes no password, code or token that came
// over http, as the proxy reports it, and everyone can read the public documents.
func TestIssuerOverHTTPS(t *testing.T) {
	l := startIssuer(t, "require_https: true\nerrors: generic\n")
	const login = `{"username": "alice", "password": "` + loginPassword + `"}`
	for _, header := range [][]string{nil, {"X-Forwarded-Proto", "http"}} {
		for _, path := range []string{"/v1/auth/login", "/v1/auth/refresh", "/v1/auth/logout", "/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/login", "/oauth/authorize"} {
			if got := l.post(path, login, header...); got.status != 403 || !strings.Contains(got.body, `"message":"HTTPS is required"`) {
				t.Errorf("%s with %q: %d %s", path, header, got.status, got.body)
			}
		}
	}
	if got := l.post("/v1/auth/login", login, "X-Forwarded-Proto", "https"); got.status != 200 {
		t.Errorf("over https: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/openid-configuration"} {
		got, err := l.issuer.Get("http://127.0.0.1:9195" + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		if got.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, got.Status)
		}
	}
}
