package keyward_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyward/authz/overrides"

	"go.yaml.in/yaml/v3"
)

// removals reads the text of a proxy's configuration. Its result reports
// whether a header, given its name in lower case, is prevented from reaching
// the upstream as the client sent it.
type removals func(t *testing.T, text string) func(name string) bool

// proxyFiles are all shipped files with which a proxy asks Keyward.
var proxyFiles = map[string]removals{
	"envoy.yaml":                                    mayRemove,
	"deploy/envoy-http/envoy.yaml":                  mayRemove,
	"deploy/envoy-issuer/envoy.yaml":                mayRemove,
	"deploy/envoy-module/envoy.yaml":                mayRemove,
	"deploy/kubernetes/overlays/shared/envoy.yaml":  mayRemove,
	"deploy/kubernetes/overlays/sidecar/envoy.yaml": mayRemove,
	"deploy/helm/keyward/files/sidecar/envoy.yaml":  mayRemove,
	// Without rules for what Keyward may change, it may remove anything.
	"deploy/kubernetes/overlays/envoy-gateway/securitypolicy.yaml": withoutRules,
	"deploy/kubernetes/overlays/istio/mesh-config.yaml":            withoutRules,
	"deploy/helm/keyward/templates/envoygateway.yaml":              withoutRules,

	"deploy/nginx/nginx.conf":        lines(`proxy_set_header NAME +"";`),
	"deploy/nginx/nginx-plain.conf":  lines(`proxy_set_header NAME +"";`),
	"deploy/nginx/nginx-issuer.conf": lines(`proxy_set_header NAME +"";`),
	"docs/proxies.md":                lines(`grpc_set_header NAME +"";`),
	"deploy/haproxy/haproxy.cfg":     lines(`http-request del-header NAME`),
	// The proxy sets these headers itself, so they are not the client's any
	// more; e2e verifies that.
	"deploy/caddy/Caddyfile":      lines(`request_header -NAME`, "x-forwarded-host"),
	"deploy/traefik/dynamic.yaml": lines(`NAME: ""`, "x-forwarded-host", "x-forwarded-server"),
}

// asks matches files that must be among proxyFiles.
var asks = regexp.MustCompile(`ext_authz\.v3\.ExtAuthz$|\bauth_request /|\bforward_auth |\bforwardAuth:|lua\.keyward |\bextAuth:|envoyExtAuthzGrpc:`)

// TestOverridesInProxyFiles compares all shipped configurations with the list
// of headers from which upstreams take another method or target.
func TestOverridesInProxyFiles(t *testing.T) {
	for file, read := range proxyFiles {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		removed := read(t, string(text))
		for _, name := range overrides.Headers() {
			if !removed(name) {
				t.Errorf("%s: %s is not removed", file, name)
			}
		}
	}
}

func TestProxyFilesAreAll(t *testing.T) {
	files := []string{"envoy.yaml"}
	err := filepath.WalkDir("deploy", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(name) != ".go" {
			files = append(files, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a link to a directory
		}
		if slices.ContainsFunc(strings.Split(string(text), "\n"), asks.MatchString) {
			if found++; proxyFiles[file] == nil {
				t.Errorf("%s asks Keyward, but is missing from proxyFiles", file)
			}
		}
	}
	if documents := 1; found != len(proxyFiles)-documents {
		t.Errorf("%d files ask Keyward, and proxyFiles has %d", found, len(proxyFiles)-documents)
	}
}

// mayRemove reads what Envoy lets Keyward change. Keyward removes each header
// in each allow, and a header that Envoy does not let it remove would fail the
// request.
func mayRemove(t *testing.T, text string) func(string) bool {
	type expression struct{ Regex string }
	var rules struct {
		Allow    expression `yaml:"allow_expression"`
		Disallow expression `yaml:"disallow_expression"`
	}
	if !findMapping(t, text, "decoder_header_mutation_rules", &rules) {
		t.Error("Envoy lets Keyward change anything")
	}
	allow, disallow := regexp.MustCompile("^(?:"+rules.Allow.Regex+")$"), regexp.MustCompile("^(?:"+rules.Disallow.Regex+")$")
	may := func(name string) bool { return allow.MatchString(name) && !disallow.MatchString(name) }
	for _, name := range []string{
		"host", ":path", "content-length", "transfer-encoding", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-real-ip", "x-request-id",
		"x-envoy-external-address", "x-envoy-upstream-rq-timeout-ms",
	} {
		if may(name) {
			t.Errorf("Envoy lets Keyward change %s", name)
		}
	}
	return may
}

// withoutRules is for a file without rules for what Keyward may remove.
func withoutRules(t *testing.T, text string) func(string) bool {
	return func(string) bool { return !strings.Contains(strings.ToLower(text), "mutation") }
}

// lines is for a file with a line for each header, except those that the proxy
// sets itself.
func lines(form string, written ...string) removals {
	return func(_ *testing.T, text string) func(string) bool {
		return func(name string) bool {
			line := regexp.MustCompile(`(?im)^\s*` + strings.Replace(form, "NAME", regexp.QuoteMeta(name), 1) + `$`)
			return line.MatchString(text) != slices.Contains(written, name)
		}
	}
}

// findMapping decodes the value of the first key of that name, at any depth.
func findMapping(t *testing.T, text, key string, into any) bool {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	var find func(n *yaml.Node) bool
	find = func(n *yaml.Node) bool {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == key {
				if err := child.Decode(into); err != nil {
					t.Fatal(err)
				}
				return true
			}
			if find(child) {
				return true
			}
		}
		return false
	}
	return find(&document)
}
