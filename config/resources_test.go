package config

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"keyward/chars"
)

const resourceDocument = `
jwt:
  - {issuer: "https://id.example.com/", audiences: [api]}
  - {name: own, issuer: own, algorithms: [HS256], hmac_secret_file: secret}
  - {name: local, issuer: "http://127.0.0.1:1", audiences: [api]}
resource_metadata: {url: "https://API.example.com:443/", name: Shop, documentation: "https://docs.example.com"}
routes:
  - {path: /mcp, scopes: [tools], resource_metadata: true}
  - {path: /public, auth: none}
paths: {case: insensitive}
`

// TestResourceMetadata: the origin is as browsers write it, the authorization
// servers are the issuers at https URLs, and the routes know their resource.
func TestResourceMetadata(t *testing.T) {
	cfg, err := Parse("f", []byte(resourceDocument), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	const root = "https://api.example.com/.well-known/oauth-protected-resource"
	if got := []string{cfg.Routes[0].Route.ResourceMetadata, cfg.Routes[1].Route.ResourceMetadata, cfg.Default.ResourceMetadata}; !slices.Equal(got, []string{root + "/mcp", "", root}) {
		t.Errorf("the routes have %q", got)
	}
	const want = `{"resource":"https://api.example.com/mcp","authorization_servers":["https://id.example.com/"],"scopes_supported":["tools"],` +
		`"bearer_methods_supported":["header"],"resource_name":"Shop","resource_documentation":"https://docs.example.com"}`
	if got := string(cfg.ResourceDocuments["/.well-known/oauth-protected-resource/mcp"]); got != want || len(cfg.ResourceDocuments) != 3 {
		t.Errorf("of %d documents: %s", len(cfg.ResourceDocuments), got)
	}
	// The path as it was written, although its case does not count.
	if cfg, err = Parse("f", []byte(strings.Replace(resourceDocument, "/mcp", "=/MCP", 1)), noEnv); err != nil || cfg.Routes[0].Route.ResourceMetadata != root+"/MCP" {
		t.Errorf("%+v, %v", cfg, err)
	}
	named := strings.Replace(resourceDocument, "name: Shop", `authorization_servers: ["https://other.example.com"]`, 1)
	if cfg, err = Parse("f", []byte(named), noEnv); err != nil || !slices.Equal(cfg.ResourceMetadata.AuthorizationServers, []string{"https://other.example.com"}) {
		t.Errorf("%+v, %v", cfg, err)
	}
	if cfg, err = Parse("f", []byte(`{}`), noEnv); err != nil || cfg.ResourceDocuments != nil || cfg.Default.ResourceMetadata != "" {
		t.Errorf("without the section: %+v, %v", cfg, err)
	}
}

// FuzzResourceMetadata: challenges can quote each URL that is accepted, and each
// document is of the resource that its URL is derived from (RFC 9728 section 3.3).
func FuzzResourceMetadata(f *testing.F) {
	for _, seed := range [][2]string{
		{"https://api.example.com", "/mcp"}, {"https://API.example.com:8443/", "=/a/b"}, {"http://[::1]:1", "/"}, {"https://a\"b", "/a\"b"},
		{"https://*.example.com", "/{x}"}, {"https://a/b?c#d", "/caf%c3%a9/"}, {"https://u:p@a", "/a,b"}, {"https://a%22b", "/;"},
	} {
		f.Add(seed[0], seed[1], "https://id.example.com", "name")
	}
	f.Fuzz(func(t *testing.T, url, path, server, name string) {
		document, err := json.Marshal(map[string]any{
			"resource_metadata": map[string]any{"url": url, "authorization_servers": []string{server}, "name": name},
			"routes":            []any{map[string]any{"path": path, "resource_metadata": true}},
		})
		if err != nil {
			t.Fatal(err) // maps of texts can be written
		}
		cfg, err := Parse("f", document, noEnv)
		if err != nil {
			return
		}
		for _, metadata := range []string{cfg.Routes[0].Route.ResourceMetadata, cfg.Default.ResourceMetadata} {
			if !chars.Printable.All(metadata) || strings.ContainsAny(metadata, `"\ `) {
				t.Errorf("a challenge cannot quote %q", metadata)
			}
			origin, resource, found := strings.Cut(metadata, "/.well-known/oauth-protected-resource")
			var d struct{ Resource string }
			if err := json.Unmarshal(cfg.ResourceDocuments[strings.TrimPrefix(metadata, origin)], &d); err != nil || !found || d.Resource != origin+resource {
				t.Errorf("%s is of %s, %v", metadata, d.Resource, err)
			}
		}
	})
}
