package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"keyward/e2e/stack"

	"go.yaml.in/yaml/v3"
)

const metadataConfig = allSources + `
resource_metadata: {url: "https://api.example.com", authorization_servers: ["https://id.example.com"], name: Shop}
routes:
  - {path: /mcp, scopes: [tools:call], resource_metadata: true}
  - {path: /caf%C3%A9, resource_metadata: true}
  - {path: /public, auth: none}
`

// TestResourceMetadata finds out where to get a token as an MCP client does,
// through each proxy with the lines of docs/proxies.md: a request without a
// token, the URL in the challenge, the document. The check is off for that path
// and for no other.
func TestResourceMetadata(t *testing.T) {
	lines := proxyLines(t, "Resource metadata", 5)
	envoy, text := firstInEnvoy(lines[0]), metadataInText(lines)
	throughProxies(t, func(t *testing.T, proxy string) {
		s := newSystem(t, options{proxy: proxy, config: metadataConfig, envoy: envoy, text: text})
		key := s.key("--name", "k", "--scope", "other")
		s.start()
		s.followsTheChallenge(key)
		s.readsNothingElse()
	}, overHTTP...)
}

// firstInEnvoy puts documented routes before all others. Where they disable ext_authz, the
// module is disabled too, if it is there.
func firstInEnvoy(routes string) func(*testing.T, *stack.EnvoyConfig) {
	return func(t *testing.T, c *stack.EnvoyConfig) {
		var documented []any
		if err := yaml.Unmarshal([]byte(routes), &documented); err != nil {
			t.Fatal(err)
		}
		if moduleFilter(c) != nil {
			for _, route := range documented {
				filters, _ := route.(object)["typed_per_filter_config"].(object)
				if filters["envoy.filters.http.ext_authz"] != nil {
					filters["keyward"] = disabledFilter()
				}
			}
		}
		host := c.Find("all")
		host["routes"] = append(documented, host["routes"].([]any)...)
	}
}

// metadataInText puts the documented lines into the configuration of the other
// proxies.
func metadataInText(lines []string) func(string) string {
	inRouters := ""
	for line := range strings.Lines(lines[4]) {
		inRouters += "    " + line
	}
	return strings.NewReplacer(
		"        location / {\n", lines[1]+"        location / {\n", // nginx
		"    acl verify path /v1/auth/verify\n", "    acl verify path /v1/auth/verify\n"+lines[2], // HAProxy
		"\t\tforward_auth 127.0.0.1:9192 {\n", lines[3]+"\t\tforward_auth 127.0.0.1:9192 {\n", // Caddy
		"  routers:\n", "  routers:\n"+inRouters, // Traefik
	).Replace
}

func (s *system) followsTheChallenge(key string) {
	s.t.Helper()
	const origin = "https://api.example.com"
	for target, want := range map[string]struct{ challenge, resource, scopes string }{
		"/mcp?x=1":      {`Bearer realm="api", scope="tools:call"`, "/mcp", "tools:call"},
		"/mcp/x":        {`Bearer realm="api", scope="tools:call"`, "/mcp", "tools:call"},
		"/caf%C3%A9":    {`Bearer realm="api"`, "/caf%C3%A9", ""},
		"/elsewhere":    {`Bearer realm="api"`, "", ""},
		"/.well-known/": {`Bearer realm="api"`, "", ""},
	} {
		a := s.get(target)
		challenge, metadata, _ := strings.Cut(a.header.Get("WWW-Authenticate"), ", resource_metadata=")
		path, below := strings.CutPrefix(strings.Trim(metadata, `"`), origin)
		if a.status != 401 || challenge != want.challenge || !below || len(a.header.Values("WWW-Authenticate")) != 1 {
			s.t.Errorf("%s: %d %q", target, a.status, a.header.Values("WWW-Authenticate"))
			continue
		}
		var document struct {
			Resource string
			Servers  []string `json:"authorization_servers"`
			Scopes   []string `json:"scopes_supported"`
		}
		a = s.get(path)
		if err := json.Unmarshal([]byte(a.body), &document); err != nil || a.status != 200 || document.Resource != origin+want.resource ||
			!slices.Equal(document.Servers, []string{"https://id.example.com"}) || strings.Join(document.Scopes, " ") != want.scopes {
			s.t.Errorf("%s: %d %s (%v)", path, a.status, a.body, err)
		}
		if a.header.Get("Content-Type") != "application/json" || a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Cache-Control") != "public, max-age=300" {
			s.t.Errorf("%s: %v", path, a.header)
		}
	}
	want := `Bearer realm="api", error="insufficient_scope", scope="tools:call", resource_metadata="` + origin + `/.well-known/oauth-protected-resource/mcp"`
	if a := s.get("/mcp", bearer(key)); a.status != 403 || a.header.Get("WWW-Authenticate") != want {
		s.t.Errorf("without the scope: %d %v", a.status, a.header)
	}
}

// readsNothingElse: a client that uses the path without a check gets documents
// and nothing else, neither of the API nor of Keyward.
func (s *system) readsNothingElse() {
	s.t.Helper()
	const path = "/.well-known/oauth-protected-resource"
	for target, statuses := range map[string][]int{
		path + "/public":                           {404},
		path + "/mcp/x":                            {404},
		path + "x":                                 {401, 404},
		path + "/../../mcp":                        {400, 401, 404},
		path + "/..%2f..%2fmcp":                    {400, 401, 404},
		path + "/../../v1/auth/verify":             {400, 401, 404},
		"/authz/envoy/public":                      {401},
		"/authz/envoy/public/../../../" + path[1:]: {200, 400, 404},
		"/authz/denial/../../" + path[1:]:          {200, 400, 404},
	} {
		a := s.get(target, "X-Original-URI: /public", "X-Original-Method: GET", "X-Forwarded-Uri: /public", "X-Forwarded-Method: GET")
		if !slices.Contains(statuses, a.status) || a.status == 200 && !strings.HasPrefix(a.body, `{"resource":"https://api.example.com"`) || a.header.Get("X-Keyward-Uri") != "" {
			s.t.Errorf("%s: %d %s %v", target, a.status, a.body, a.header)
		}
	}
	// nginx has cleaned the path by which it chose the location, and sends that one.
	if a := s.get("/authz/envoy/../../" + path[1:]); s.opts.proxy == "nginx" && a.status != 200 {
		s.t.Errorf("another path of Keyward is reached: %d %s", a.status, a.body)
	}
	if a := s.request("OPTIONS", path, "Origin: https://other.example.com", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: mcp-protocol-version"); a.status != 204 || a.header.Get("Access-Control-Allow-Headers") != "*" {
		s.t.Errorf("a preflight: %d %v", a.status, a.header)
	}
	if n := s.arrived(); n != 0 {
		s.t.Errorf("%d requests reached the API", n)
	}
}
