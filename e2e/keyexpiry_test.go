package e2e

import (
	"testing"
	"time"
)

// TestKeyExpiryReachesTheClient: what the client of each proxy learns of its key's end,
// as docs/proxies.md says.
func TestKeyExpiryReachesTheClient(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) { keyExpiryReachesTheClient(t, proxy, true) }, "envoy-http", "haproxy")
	for _, name := range []string{"nginx-plain", "caddy", "traefik"} {
		t.Run(name, func(t *testing.T) { keyExpiryReachesTheClient(t, name, false) })
	}
}

func keyExpiryReachesTheClient(t *testing.T, proxy string, passed bool) {
	s := newSystem(t, options{proxy: proxy, keys: ", expiry_header: true", config: routesConfig})
	soon, late, never := s.key("--name", "soon", "--expires", "5d"), s.key("--name", "late", "--expires", "90d"), s.key("--name", "never")
	s.start()
	for _, c := range []struct {
		what, key, target string
		status            int
		shown             bool
	}{
		{"a key that ends soon", soon, "/any", 200, passed},
		{"a key that ends later", late, "/any", 200, false},
		{"a key that does not end", never, "/any", 200, false},
		{"a denial", soon, "/reports", 403, false},
		{"no key", "kw_junk", "/any", 401, false},
	} {
		a := s.get(c.target, bearer(c.key))
		got := a.header.Values("X-Keyward-Key-Expires")
		if a.status != c.status || (len(got) > 0) != c.shown || len(got) > 1 {
			t.Errorf("%s: %d, %q, want %d and shown: %v", c.what, a.status, got, c.status, c.shown)
			continue
		}
		if !c.shown {
			continue
		}
		if at, err := time.Parse(time.RFC3339, got[0]); err != nil || time.Until(at) > 5*24*time.Hour || time.Until(at) < 4*24*time.Hour {
			t.Errorf("%s: %q, %v", c.what, got[0], err)
		}
		if there := a.received(t).Headers["x-keyward-key-expires"]; there != nil {
			t.Errorf("%s: the upstream got %q", c.what, there)
		}
	}
}
