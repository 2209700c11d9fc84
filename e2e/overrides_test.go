package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"keyward/authz/overrides"
	"keyward/e2e/stack"
)

// evilHeaders is the value of each header in which a client overrides a method
// or a target.
const evilHeaders = "evil.example"

// overridesConfig has a route for each kind of allow.
const overridesConfig = `
credentials: {header: X-API-Key}
routes:
- {path: /public, auth: none}
- {path: /open, auth: optional}
- {path: /own, auth: none, forward_credentials: true}
- {path: /forwarded, forward_credentials: true}
`

// TestUpstreamOverrides: no upstream gets another method or target than was
// checked, through any proxy and for any kind of allow.
func TestUpstreamOverrides(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := newSystem(t, options{proxy: proxy, config: overridesConfig})
		key := s.key("--name", "k")
		s.start()
		for target, lines := range map[string][]string{"/public": nil, "/open": nil, "/own": nil, "/any": {bearer(key)}, "/forwarded": {"X-API-Key: " + key}} {
			for _, name := range overrides.Headers() {
				lines = append(lines, name+": "+evilHeaders)
			}
			got := s.request("POST", target, append(lines, "Content-Length: 0")...).received(t)
			if got.Method != "POST" || got.Path != target {
				t.Errorf("%s: the upstream got %s %s", target, got.Method, got.Path)
			}
			wantNoOverride(t, target, got)
		}
		overrideAliases(t, s, bearer(key))
	})
}

// overrideAliases sends names that an upstream could take for those of the
// list.
func overrideAliases(t *testing.T, s *system, credential string) {
	t.Helper()
	for _, name := range overrides.Headers() {
		for _, other := range []string{"_", "."} {
			line := strings.ReplaceAll(name, "-", other) + ": " + evilHeaders
			before := s.arrived()
			if a := s.get("/any", credential, line); a.status == 200 {
				wantNoOverride(t, line, a.received(t))
			} else if a.status != 400 || s.arrived() != before {
				t.Errorf("%s: %d", line, a.status)
			}
		}
	}
}

// wantNoOverride looks for the client's value. A proxy may set the same header
// itself.
func wantNoOverride(t *testing.T, sent string, got stack.Received) {
	t.Helper()
	for name, values := range got.Headers {
		name = strings.NewReplacer("_", "-", ".", "-").Replace(name)
		if slices.Contains(overrides.Headers(), name) && strings.Contains(fmt.Sprint(values), evilHeaders) {
			t.Errorf("%s: the upstream got %s %q", sent, name, values)
		}
	}
}

// TestUpstreamOverridesKept: a header that the setting keeps passes through
// Envoy, over gRPC and over HTTP, except for a header of Envoy's own.
func TestUpstreamOverridesKept(t *testing.T) {
	for _, proxy := range []string{"", "envoy-http"} {
		for setting, kept := range map[string][]string{"pass": overrides.Headers(), "{keep: [X-Forwarded-Host]}": {"x-forwarded-host"}} {
			s := startSystem(t, options{proxy: proxy, config: overridesConfig + "upstream_overrides: " + setting + "\n"})
			var lines []string
			for _, name := range overrides.Headers() {
				lines = append(lines, name+": "+evilHeaders)
			}
			got := s.get("/public", lines...).received(t)
			for _, name := range overrides.Headers() {
				if arrived := got.Headers[name] != nil; arrived != slices.Contains(kept, name) && name != "x-envoy-original-path" {
					t.Errorf("%s, through %q: the upstream got %s: %v", setting, proxy, name, arrived)
				}
			}
		}
	}
}
