package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// TestLongTokens verifies what docs/proxies.md says about the length of the
// header that each proxy passes to Keyward: a valid token arrives and is
// accepted, and one that is too long is refused by the proxy.
func TestLongTokens(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	nginx := replaceText("large_client_header_buffers 4 8k;", "large_client_header_buffers 4 64k;")
	for _, c := range []struct {
		name, proxy string
		change      func(*testing.T, *options) (int, int)
		longest     int // KiB that arrive
		tooLong     int // KiB that the proxy refuses itself
	}{
		{"Envoy", "", unchanged, 56, 64},
		{"Envoy over HTTP", "envoy-http", unchanged, 56, 64},
		{"nginx", "nginx", unchanged, 7, 9},
		{"nginx with larger buffers", "nginx", nginx, 56, 0},
		{"HAProxy", "haproxy", unchanged, 52, 64},
		{"Caddy", "caddy", unchanged, 52, 72},
		{"Traefik", "traefik", unchanged, 56, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := options{proxy: c.proxy, config: "jwt: [{issuer: https://id.example.com, audiences: [api], hmac_secret_file: secret, algorithms: [HS256], max_token_bytes: 65536}]\n"}
			c.change(t, &opts)
			s := newSystem(t, opts)
			if err := os.WriteFile(filepath.Join(s.dir, "secret"), secret, 0o600); err != nil {
				t.Fatal(err)
			}
			s.key("--name", "makes the key file")
			s.start()
			for _, kib := range []int{1, c.longest} {
				if a := s.get("/any", bearer(longToken(t, secret, kib<<10))); a.status != 200 {
					t.Errorf("%d KiB: %d %s", kib, a.status, a.body)
				}
			}
			before := s.arrived()
			if a := s.get("/any", bearer(longToken(t, secret, c.tooLong<<10))); c.tooLong > 0 && (a.status == 200 || a.reason() != "") {
				t.Errorf("%d KiB: %d %s", c.tooLong, a.status, a.body)
			}
			if c.tooLong > 0 && s.arrived() > before {
				t.Error("a request that is too long reached the upstream")
			}
		})
	}
}

// longToken returns a valid token of about so many bytes.
func longToken(t *testing.T, secret []byte, size int) string {
	t.Helper()
	const rest = 400 // what the token has beside the padding, about
	padding := strings.Repeat("x", max(0, (size-rest)*3/4))
	return sign(t, jwt.SigningMethodHS256, secret, "", "JWT", claims(jwt.MapClaims{"iss": "https://id.example.com", "aud": "api", "sub": "alice", "padding": padding}))
}
