package e2e

import (
	"strings"
	"testing"
)

// TestLongTokens verifies what docs/proxies.md says about the length of the
// header that each proxy passes to Keyward. The token is not valid, so an answer
// of Keyward's own says that it arrived.
func TestLongTokens(t *testing.T) {
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
			writeFile(t, s.dir, "secret", placesSecret)
			s.key("--name", "makes the key file")
			s.start()
			for kib, arrives := range map[int]bool{1: true, c.longest: true, c.tooLong: false} {
				if kib == 0 {
					continue
				}
				a := s.get("/any", "Authorization: Bearer "+strings.Repeat("x", kib<<10)+".y.z")
				if got := a.reason() != ""; got != arrives || got && a.status != 401 {
					t.Errorf("%d KiB: %d %s", kib, a.status, a.body)
				}
			}
			if s.arrived() > 0 {
				t.Error("a request reached the upstream")
			}
		})
	}
}
