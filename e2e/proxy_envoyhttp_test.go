package e2e

import (
	"path/filepath"
	"testing"

	"keyward/e2e/stack"
)

// envoyHTTPProxy returns Envoy with the configuration for asking over HTTP.
func envoyHTTPProxy(s *system) stack.Proxy {
	s.t.Helper()
	config := s.loadEnvoyConfig(filepath.Join("deploy", "envoy-http", "envoy.yaml"))
	if !s.opts.shippedTimeout {
		authzFilter(config)["http_service"].(map[string]any)["server_uri"].(map[string]any)["timeout"] = "10s"
	}
	if s.opts.envoy != nil {
		s.opts.envoy(s.t, config)
	}
	return stack.Envoy{Binary: programs.envoy, Config: config}
}

func TestEnvoyHTTP(t *testing.T) {
	proxied{proxy: "envoy-http", dead: 503, garbage: 503, fixedTarget: true, anyOK: true}.test(t)
}
