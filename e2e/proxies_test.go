package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// proxy is a program that can stand in front of a system.
type proxy struct {
	program string
	build   func(*system) stack.Proxy // with the shipped configuration, as changed by the options
	// tls changes the options so that the proxy also speaks TLS. It returns the
	// port for TLS, or 0 if it is the plaintext one.
	tls func(*testing.T, *options, *pair) (port int)
}

// proxies are all proxies by name; "" is Envoy, which most tests use.
var proxies = map[string]proxy{
	"":            {"Envoy", (*system).envoyProxy, envoyTLS},
	"nginx":       {"nginx", nginxProxy("nginx.conf"), nginxTLS},
	"nginx-plain": {"nginx", nginxProxy("nginx-plain.conf"), nil},
	// Those that have the issuer's endpoints too.
	"envoy-issuer": {"Envoy", envoyFile("deploy", "envoy-issuer", "envoy.yaml"), envoyTLS},
	"nginx-issuer": {"nginx", nginxProxy("nginx-issuer.conf"), nginxTLS},
	"envoy-http":   {"Envoy", envoyHTTPProxy, envoyTLS},
	// Those that check within Envoy (module_proxies_test.go).
	"envoy-module":       {"Envoy", envoyModule, envoyTLS},
	"envoy-module-alone": {"Envoy", envoyModuleAlone, envoyTLS},
	"haproxy":            {"HAProxy", haproxyProxy, haproxyTLS},
	"caddy":              {"Caddy", caddyProxy, caddyTLS},
	"traefik":            {"Traefik", traefikProxy, traefikTLS},
}

// overHTTP are the proxies, besides nginx, that ask over HTTP.
var overHTTP = []string{"envoy-http", "haproxy", "caddy", "traefik"}

// throughProxies runs a test with Envoy, also with the module and the Keyward beside it,
// with each other proxy that forwards denials unchanged, and with those named.
func throughProxies(t *testing.T, test func(t *testing.T, proxy string), more ...string) {
	throughAsking(t, test, append([]string{"envoy-module"}, more...)...)
}

// throughAsking is throughProxies with proxies alone that ask about every request.
func throughAsking(t *testing.T, test func(t *testing.T, proxy string), more ...string) {
	t.Run("Envoy", func(t *testing.T) { test(t, "") })
	for _, name := range append([]string{"nginx"}, more...) {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}

func envoyTLS(_ *testing.T, o *options, p *pair) int {
	o.envoy = speakTLS(p)
	return 0
}

func (s *system) envoyProxy() stack.Proxy {
	s.t.Helper()
	return stack.Envoy{Binary: programs.envoy, Config: s.envoyConfig()}
}

// envoyFile returns Envoy with another file of the repository, which asks over gRPC.
func envoyFile(path ...string) func(*system) stack.Proxy {
	return func(s *system) stack.Proxy {
		s.t.Helper()
		return stack.Envoy{Binary: programs.envoy, Config: s.envoyConfigOf(filepath.Join(path...))}
	}
}

// envoyConfig returns the shipped configuration, as changed by the options.
func (s *system) envoyConfig() *stack.EnvoyConfig {
	s.t.Helper()
	return s.envoyConfigOf("envoy.yaml")
}

func (s *system) envoyConfigOf(file string) *stack.EnvoyConfig {
	s.t.Helper()
	config := s.loadEnvoyConfig(file)
	if !s.opts.shippedTimeout {
		authzFilter(config)["grpc_service"].(map[string]any)["timeout"] = "10s"
	}
	if s.opts.envoy != nil {
		s.opts.envoy(s.t, config)
	}
	return config
}

// loadEnvoyConfig reads a file of the repository, with the changes of a page.
func (s *system) loadEnvoyConfig(file string) *stack.EnvoyConfig {
	s.t.Helper()
	path := filepath.Join(programs.root, file)
	if len(s.opts.diffs) > 0 {
		page := file
		if file == moduleFile {
			page = "envoy.yaml" // what pages change there is the same here
		}
		path = writeFile(s.t, s.t.TempDir(), "envoy.yaml", s.changed(page, readText(s.t, path)))
	}
	config, err := stack.LoadEnvoyConfig(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return config
}

// authzFilter returns the configuration of Envoy's ext_authz filter.
func authzFilter(c *stack.EnvoyConfig) map[string]any {
	return c.Find("envoy.filters.http.ext_authz")["typed_config"].(map[string]any)
}

// shipped returns the text of a file in deploy, as changed by the options.
func (s *system) shipped(file ...string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{programs.root, "deploy"}, file...)...))
	if err != nil {
		s.t.Fatal(err)
	}
	changed := s.changed(filepath.Join(append([]string{"deploy"}, file...)...), string(text))
	if s.opts.text != nil {
		return s.opts.text(changed)
	}
	return changed
}

// replaced replaces a text that must be present.
func (s *system) replaced(text, old, by string) string {
	s.t.Helper()
	if !strings.Contains(text, old) {
		s.t.Fatalf("the shipped configuration has no %q", old)
	}
	return strings.ReplaceAll(text, old, by)
}
