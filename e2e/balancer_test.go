package e2e

import (
	"errors"
	"strings"
	"testing"

	"keyward/e2e/stack"
	"keyward/internal/eventually"

	"go.yaml.in/yaml/v3"
)

// behindBalancer puts the lines of docs/proxies.md into the configurations. The
// network of the balancer is network.
func behindBalancer(t *testing.T, network string) (envoy func(*testing.T, *stack.EnvoyConfig), text func(string) string) {
	t.Helper()
	lines := proxyLines(t, "require_https behind a TLS-terminating load balancer", 4)
	for i, l := range lines {
		lines[i] = strings.ReplaceAll(l, "10.0.0.0/8", network)
	}
	envoy = func(t *testing.T, c *stack.EnvoyConfig) {
		var documented map[string]any
		if err := yaml.Unmarshal([]byte(lines[0]), &documented); err != nil {
			t.Fatal(err)
		}
		manager := c.Find("envoy.filters.network.http_connection_manager")["typed_config"].(object)
		for name, value := range documented {
			manager[name] = value
		}
	}
	return envoy, strings.NewReplacer(
		"    server {\n", lines[1]+"    server {\n", // nginx
		"X-Forwarded-Proto $scheme;", "X-Forwarded-Proto $client_scheme;",
		"    http-request set-header X-Forwarded-Proto http unless { ssl_fc }\n    http-request set-header X-Forwarded-Proto https if { ssl_fc }\n", lines[2], // HAProxy
		`{ txn.f:ssl_fc() == 1 and "https" or "http" }`, `{ txn:get_var("txn.scheme") }`,
		"\tservers {\n", "\tservers {\n"+lines[3], // Caddy
		"insecure: false\n", "trustedIPs: ["+network+"]\n", // Traefik, for which it is not enough
	).Replace
}

// TestRequireHTTPSBehindBalancer: with the lines of docs/proxies.md, a request
// that came to the balancer over https is allowed, and no other. Without them,
// and from another address, the header means nothing.
func TestRequireHTTPSBehindBalancer(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		envoy, text := behindBalancer(t, "127.0.0.0/8")
		s := newSystem(t, options{proxy: proxy, config: routesConfig + "require_https: true\nclient_address: {trusted_hops: 2}\n", envoy: envoy, text: text})
		key := s.key("--name", "k")
		s.start()
		over, withoutKey := 200, 401
		if proxy == "traefik" {
			over, withoutKey = 403, 403
		}
		s.wantStatus("https", over, s.get("/any", bearer(key), "X-Forwarded-Proto: https"))
		s.get("/any", "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.99, 203.0.113.9")
		eventually.Succeeds(t, func() error {
			if proxy != "haproxy" && proxy != "traefik" && !strings.Contains(s.decisionLog(), `"client":"203.0.113.9"`) {
				return errors.New("Keyward did not see the client's address")
			}
			return nil
		})
		s.wantStatus("http", 403, s.get("/any", bearer(key), "X-Forwarded-Proto: http"))
		s.wantStatus("no header", 403, s.get("/any", bearer(key)))
		s.wantStatus("another header", 403, s.get("/any", bearer(key), "X-Forwarded-Scheme: https", "Forwarded: proto=https"))
		s.wantStatus("no key", withoutKey, s.get("/any", "X-Forwarded-Proto: https"))
	}, overHTTP...)
}

// TestRequireHTTPSBesideBalancer: a client that reaches the proxy from another
// address than the balancer's cannot claim https.
func TestRequireHTTPSBesideBalancer(t *testing.T) {
	for _, proxy := range []string{"nginx", "haproxy", "caddy"} {
		t.Run(proxy, func(t *testing.T) {
			envoy, text := behindBalancer(t, "192.0.2.0/24")
			s := newSystem(t, options{proxy: proxy, config: routesConfig + "require_https: true\n", envoy: envoy, text: text})
			key := s.key("--name", "k")
			s.start()
			s.wantStatus("https", 403, s.get("/any", bearer(key), "X-Forwarded-Proto: https"))
			if n := s.arrived(); n != 0 {
				t.Errorf("%d requests reached the upstream", n)
			}
		})
	}
}

func (s *system) wantStatus(what string, want int, a answer) {
	s.t.Helper()
	if a.status != want {
		s.t.Errorf("%s: %d %q, want %d", what, a.status, a.reason(), want)
	}
}

// TestSecondPaths: with the lines of docs/proxies.md, no request reaches the API
// that names a second path in a header.
func TestSecondPaths(t *testing.T) {
	lines := proxyLines(t, "WebDAV and S3: the Destination header, x-amz-copy-source and other second paths", 7)
	indented := func(text, by string) string {
		return by + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+by) + "\n"
	}
	text := strings.NewReplacer(
		"    server {\n", lines[1]+"    server {\n", // nginx
		"        location / {\n", "        location / {\n"+lines[2],
		"    http-request lua.keyward unless verify\n", lines[3]+"    http-request lua.keyward unless verify\n", // HAProxy
		"\troute {\n", "\troute {\n"+lines[4], // Caddy
		"  routers:\n", "  routers:\n"+indented(lines[5], "    "), "  middlewares:\n", "  middlewares:\n"+indented(lines[6], "    "), // Traefik
	).Replace
	throughProxies(t, func(t *testing.T, proxy string) {
		s := newSystem(t, options{proxy: proxy, config: allSources + "routes: [{path: /dav, methods: [COPY, MOVE], auth: deny}, {path: /dav}]\n", envoy: firstInEnvoy(lines[0]), text: text})
		key := s.key("--name", "k", "--path", "/team-a", "--path", "/dav")
		s.start()
		refused := 403
		if proxy == "nginx" {
			refused = 400
		}
		for _, line := range []string{"Destination: /team-b/file", "destination: http://elsewhere/team-b", "X-Amz-Copy-Source: /team-b/file", "x-amz-copy-source: team-b%2Ffile"} {
			s.wantStatus(line, refused, s.request("PUT", "/team-a/file", bearer(key), line, "Content-Length: 0"))
			s.wantStatus("MOVE with "+line, refused, s.request("MOVE", "/team-a/file", bearer(key), line))
		}
		s.wantStatus("a route that denies MOVE", 403, s.request("MOVE", "/dav/file", bearer(key)))
		if n := s.arrived(); n != 0 {
			t.Errorf("%d requests reached the upstream", n)
		}
		s.wantStatus("PUT", 200, s.request("PUT", "/team-a/file", bearer(key), "Content-Length: 0"))
		s.wantStatus("GET", 200, s.get("/dav/file", bearer(key)))
		s.wantStatus("another path", 403, s.request("PUT", "/team-b/file", bearer(key), "Content-Length: 0"))
	}, overHTTP...)
}
