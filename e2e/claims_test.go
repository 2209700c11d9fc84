package e2e

import "testing"

// TestClientClaimsAreIgnored has a client claim that it came over HTTPS, from
// another address, and for another path.
func TestClientClaimsAreIgnored(t *testing.T) {
	s := newSystem(t, options{config: routesConfig})
	key := s.key("--name", "k", "--path", "/mine")
	s.start()
	got := s.get("/mine", bearer(key), "X-Forwarded-Proto: https", "X-Envoy-Original-Path: /other",
		"X-Envoy-Upstream-Rq-Timeout-Ms: 1", "X-Forwarded-For: 10.0.0.1").received(t)
	if proto := got.Headers["x-forwarded-proto"]; len(proto) != 1 || proto[0] != "http" {
		t.Errorf("x-forwarded-proto: %q", proto)
	}
	// Without X-Forwarded-For Envoy could take it for an internal client.
	near := s.get("/mine", bearer(key), "X-Envoy-Original-Path: /other", "X-Envoy-Upstream-Rq-Timeout-Ms: 1").received(t)
	for _, name := range []string{"x-envoy-original-path", "x-envoy-upstream-rq-timeout-ms", "x-envoy-internal"} {
		if got.Headers[name] != nil || near.Headers[name] != nil {
			t.Errorf("%s: %q, %q", name, got.Headers[name], near.Headers[name])
		}
	}
	if a := s.get("/other", bearer(key), "X-Envoy-Original-Path: /mine", "X-Original-URI: /mine", "X-Rewrite-URL: /mine"); a.status != 403 {
		t.Errorf("/other with a header for /mine: %d", a.status)
	}
}

// TestHostsAreTheRoutesHosts: a host with a port, in upper case or with the
// final dot of DNS still matches its route.
func TestHostsAreTheRoutesHosts(t *testing.T) {
	s := newSystem(t, options{config: `
routes:
- {name: closed, path: /, hosts: [closed.example.com], auth: deny}
default: {auth: none}
`})
	s.key("--name", "k")
	s.start()
	for host, want := range map[string]int{
		"closed.example.com": 403, "CLOSED.example.com": 403, "closed.example.com:80": 403, "closed.example.com.": 403,
		"closed.example.com.:8080": 403, "open.example.com": 200,
	} {
		a, err := s.send("GET", "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if err != nil || a.status != want {
			t.Errorf("host %s: %d (%v), want %d", host, a.status, err, want)
		}
	}
}

func TestRequireHTTPSIgnoresClientHeaders(t *testing.T) {
	s := newSystem(t, options{config: routesConfig + "require_https: true\n"})
	key := s.key("--name", "k")
	s.start()
	for name, a := range map[string]answer{
		"plain":               s.get("/any", bearer(key)),
		"with a header":       s.get("/any", bearer(key), "X-Forwarded-Proto: https", "Forwarded: proto=https", "X-Forwarded-Scheme: https"),
		"HTTP/2, :scheme set": s.getHTTP2(":scheme: https", ":path: /any", bearer(key)),
	} {
		if a.status != 403 || a.reason() != "https_required" {
			t.Errorf("%s: %d %q, want 403 https_required", name, a.status, a.reason())
		}
	}
	if n := s.arrived(); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}
