package e2e

import (
	"strings"
	"testing"

	"keyward/e2e/stack"
)

func haproxyProxy(s *system) stack.Proxy {
	s.t.Helper()
	files := map[string]string{}
	for _, name := range []string{"haproxy.cfg", "keyward.lua", "trailers.lua"} {
		files[name] = s.shipped("haproxy", name)
	}
	if !s.opts.shippedTimeout {
		files["keyward.lua"] = s.replaced(files["keyward.lua"], "local timeout = 250\n", "local timeout = 10000\n")
	}
	return stack.HAProxy{Binary: programs.haproxy, Files: files}
}

func TestHAProxy(t *testing.T) {
	proxied{proxy: "haproxy", dead: 503, garbage: 503}.test(t)
}

// TestHAProxyFailingLua makes the Lua script fail, before it asks and in the
// middle of an allow. HAProxy then continues with its rules.
func TestHAProxyFailingLua(t *testing.T) {
	for _, line := range []string{
		"  local headers = txn.http:req_get_headers()\n",
		"  txn:set_var(\"txn.keyward\", \"allowed\")",
	} {
		failed := 0
		s := newSystem(t, options{proxy: "haproxy", config: routesConfig, text: func(text string) string {
			failed += strings.Count(text, line)
			return strings.Replace(text, line, "  error(\"made to fail\")\n"+line, 1)
		}})
		key := s.key("--name", "k")
		s.start()
		if failed != 1 {
			t.Fatalf("keyward.lua has %d lines like %q", failed, line)
		}
		for _, a := range []answer{s.get("/any", bearer(key)), s.get("/public")} {
			if a.status != 503 || s.arrived() != 0 {
				t.Errorf("with a failure before %q: %d", line, a.status)
			}
		}
	}
}

// TestHAProxyConnectionNamesNoHeaders: a client must not make the next hop drop
// headers by naming them in Connection.
func TestHAProxyConnectionNamesNoHeaders(t *testing.T) {
	s := startSystem(t, options{proxy: "haproxy", config: routesConfig})
	for _, c := range []struct {
		lines  []string
		status int
	}{
		{[]string{"Connection: x-auth-method"}, 400},
		{[]string{"Connection: keep-alive,x-auth-method"}, 400},
		{[]string{"Connection: keep-alive", "Connection: X-Auth-Method"}, 400},
		{[]string{"Connection: keep-alive, TE"}, 200},
	} {
		if a := s.get("/public", c.lines...); a.status != c.status {
			t.Errorf("%q: %d, want %d", c.lines, a.status, c.status)
		}
	}
}
