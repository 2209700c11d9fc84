package e2e

import (
	"strings"
	"testing"

	"keyward/e2e/stack"
)

func caddyProxy(s *system) stack.Proxy {
	s.t.Helper()
	text := s.shipped("caddy", "Caddyfile")
	if !s.opts.shippedTimeout {
		text = s.replaced(text, "response_header_timeout 250ms", "response_header_timeout 10s")
	}
	return stack.Caddy{Binary: programs.caddy, Config: text}
}

func TestCaddy(t *testing.T) {
	proxied{proxy: "caddy", dead: 503, garbage: 503, fixedTarget: true}.test(t)
}

// TestCaddyKeepsWhatKeywardMaySay: a client's header under x-auth- that Keyward
// has not set is removed.
func TestCaddyKeepsWhatKeywardMaySay(t *testing.T) {
	s := startSystem(t, options{proxy: "caddy", config: routesConfig})
	if got := s.get("/public", "X-Auth-Tenant: evil").received(t); got.Headers["x-auth-tenant"] != nil {
		t.Errorf("the upstream sees X-Auth-Tenant %q", got.Headers["x-auth-tenant"])
	}
}

// TestCaddyKeepsKeysOutOfItsLog turns on the access log, which has complete
// requests.
func TestCaddyKeepsKeysOutOfItsLog(t *testing.T) {
	s := newSystem(t, options{proxy: "caddy", config: strings.Replace(routesConfig, "query:", "websocket_protocol: key., query:", 1), text: func(text string) string {
		return strings.Replace(text, "\tbind 127.0.0.1\n", "\tbind 127.0.0.1\n\tlog\n", 1)
	}})
	key := s.key("--name", "k")
	s.start()
	for _, line := range []string{"X-API-Key: " + key, bearer(key), "Cookie: session=" + key, "Sec-WebSocket-Protocol: chat, key." + key} {
		if a := s.get("/any", line); a.status != 200 {
			t.Errorf("%s: %d", line, a.status)
		}
	}
	if a := s.get("/any?api_key=" + key); a.status != 401 {
		t.Errorf("in the query: %d", a.status)
	}
	log := s.Proxy.Log()
	if n := strings.Count(log, `"handled request"`); n != 5 || !strings.Contains(log, `"/any?"`) {
		t.Errorf("Caddy has logged %d requests", n)
	}
	if strings.Contains(log, key) {
		t.Error("Caddy's log contains the key")
	}
}
