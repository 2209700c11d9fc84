package resources_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/policy"
	"keyward/policy/resources"
)

var api = resources.API{URL: "https://api.example.com", AuthorizationServers: []string{"https://id.example.com/"}, Name: "Shop", Documentation: "https://docs.example.com/?a=1&b=2"}

// rule returns a route with these scopes, separated by commas. A path after "*"
// is a resource of its own.
func rule(t *testing.T, path, scopes string, edit ...func(*policy.Rule)) policy.Rule {
	t.Helper()
	text, own := strings.CutPrefix(path, "*")
	pattern, err := urlpath.ParsePattern(text, urlpath.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	set := scopeSet(t, scopes)
	r := policy.Rule{Pattern: pattern, Resource: own, Route: authz.Route{Path: text, Auth: authz.AuthRequired, Scopes: set}}
	for _, change := range edit {
		change(&r)
	}
	return r
}

func scopeSet(t *testing.T, names string) authz.Scopes {
	t.Helper()
	set, err := authz.ParseScopes(strings.FieldsFunc(names, func(c rune) bool { return c == ',' }))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func auth(mode authz.AuthMode) func(*policy.Rule) {
	return func(r *policy.Rule) { r.Route.Auth = mode }
}

func accepts(kinds ...authz.AuthMethod) func(*policy.Rule) {
	return func(r *policy.Rule) { r.Route.AcceptAuth = kinds }
}

func hosts(names ...string) func(*policy.Rule) {
	return func(r *policy.Rule) { r.Hosts = names }
}

const wellKnown = "/.well-known/oauth-protected-resource"

// TestDescribe: which resource each route is part of, and the documents of all.
func TestDescribe(t *testing.T) {
	rules := []policy.Rule{
		rule(t, "/posts", "posts:read"),
		rule(t, "/posts/drafts", "posts:read", func(r *policy.Rule) { r.Route.ScopesAny = scopeSet(t, "posts:write,posts:read") }),
		rule(t, "*=/mcp/inner", "inner"), // before what it is within
		rule(t, "*/mcp", "tools"),
		rule(t, "/mcp/admin", "tools:admin"),
		rule(t, "/mcpx", "x"),
		rule(t, "/mcp/inner", "below"),
		rule(t, "*/mcp/late", "late"), // and behind it
		rule(t, "*/a/Caf%C3%A9/", ""),
		rule(t, "/open", "", auth(authz.AuthNone)),
		rule(t, "/closed", "closed", auth(authz.AuthDeny)),
		rule(t, "/mixed", "mixed", auth(authz.AuthOptional)),
		rule(t, "/keys", "keys", accepts(authz.AuthMethodAPIKey, authz.AuthMethodBasic)),
		rule(t, "/tokens", "", accepts(authz.AuthMethodAPIKey, authz.AuthMethodOAuth)),
		rule(t, "/jwts", "", accepts(authz.AuthMethodJWT)),
		rule(t, "/other", "other", hosts("other.example.com", "*.api.example.com", "*.example.org")),
		rule(t, "/here", "", hosts("other.example.com", "API.example.com")),
		rule(t, "/any", "", hosts("*.example.com")),
	}
	defaultRoute := authz.Route{Auth: authz.AuthRequired}
	documents := api.Describe(rules, &defaultRoute)
	got := map[string]string{"default": defaultRoute.ResourceMetadata}
	for _, r := range rules {
		got[strings.TrimPrefix(r.Route.Path, "=")+map[bool]string{true: "!"}[r.Pattern.Exact()]] = r.Route.ResourceMetadata
	}
	root := api.URL + wellKnown
	want := map[string]string{
		"default": root, "/posts": root, "/posts/drafts": root, "/mcpx": root, "/mixed": root, "/tokens": root, "/jwts": root, "/here": root, "/any": root,
		"/mcp": root + "/mcp", "/mcp/admin": root + "/mcp", "/mcp/inner": root + "/mcp", "/mcp/inner!": root + "/mcp/inner", "/mcp/late": root + "/mcp/late", "/a/Caf%C3%A9/": root + "/a/Caf%C3%A9/",
		"/open": "", "/closed": "", "/keys": "", "/other": "",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	compare(t, documents, map[string]string{
		wellKnown:                   doc("", `"mixed","posts:read","posts:write","x"`),
		wellKnown + "/":             doc("", `"mixed","posts:read","posts:write","x"`),
		wellKnown + "/mcp":          doc("/mcp", `"below","tools","tools:admin"`),
		wellKnown + "/mcp/inner":    doc("/mcp/inner", `"inner"`),
		wellKnown + "/mcp/late":     doc("/mcp/late", `"late"`),
		wellKnown + "/a/Caf%C3%A9/": doc("/a/Caf%C3%A9/", ""),
	})
}

// doc returns the document of a resource of api.
func doc(path, scopes string) string {
	if scopes != "" {
		scopes = fmt.Sprintf(`"scopes_supported":[%s],`, scopes)
	}
	return `{"resource":"https://api.example.com` + path + `","authorization_servers":["https://id.example.com/"],` + scopes +
		`"bearer_methods_supported":["header"],"resource_name":"Shop","resource_documentation":"https://docs.example.com/?a=1\u0026b=2"}`
}

func compare(t *testing.T, documents resources.Documents, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for path, document := range documents {
		got[path] = string(document)
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if got[path] != want[path] {
			t.Errorf("%s: %s\nwant %s", path, got[path], want[path])
		}
	}
	for path := range want {
		if got[path] == "" {
			t.Errorf("no document at %s", path)
		}
	}
}

// TestResourcesWithoutRoutes: a resource whose routes accept no token is none.
func TestResourcesWithoutRoutes(t *testing.T) {
	defaultRoute := authz.Route{Auth: authz.AuthDeny}
	bare := resources.API{URL: "https://api.example.com"}
	compare(t, bare.Describe([]policy.Rule{rule(t, "*/mcp", ""), rule(t, "/open", "", auth(authz.AuthNone))}, &defaultRoute), map[string]string{
		wellKnown + "/mcp": `{"resource":"https://api.example.com/mcp","bearer_methods_supported":["header"]}`,
	})
	compare(t, bare.Describe([]policy.Rule{rule(t, "*/", "a")}, &defaultRoute), map[string]string{
		wellKnown:       `{"resource":"https://api.example.com","scopes_supported":["a"],"bearer_methods_supported":["header"]}`,
		wellKnown + "/": `{"resource":"https://api.example.com","scopes_supported":["a"],"bearer_methods_supported":["header"]}`,
	})
	rules := []policy.Rule{rule(t, "*/mcp", "")}
	if documents := (&resources.API{Name: "Shop"}).Describe(rules, &defaultRoute); documents != nil || rules[0].Route.ResourceMetadata != "" {
		t.Errorf("without a URL: %s, %q", documents, rules[0].Route.ResourceMetadata)
	}
}

// TestProblem: which rules cannot be a resource of their own.
func TestProblem(t *testing.T) {
	for _, test := range []struct {
		name string
		api  resources.API
		rule policy.Rule
		want string
	}{
		{"required", api, rule(t, "*/a", ""), ""},
		{"optional", api, rule(t, "*/a", "", auth(authz.AuthOptional)), ""},
		{"the host among others", api, rule(t, "*/a", "", hosts("b.example.com", "api.example.com")), ""},
		{"the host with a port", resources.API{URL: "http://127.0.0.1:10000"}, rule(t, "*/a", "", hosts("127.0.0.1")), ""},
		{"no URL", resources.API{}, rule(t, "*/a", ""), "resource_metadata.url is needed"},
		{"none", api, rule(t, "*/a", "", auth(authz.AuthNone)), "accepts neither"},
		{"deny", api, rule(t, "*/a", "", auth(authz.AuthDeny)), "accepts neither"},
		{"keys alone", api, rule(t, "*/a", "", accepts(authz.AuthMethodAPIKey)), "accepts neither"},
		{"another host", api, rule(t, "*/a", "", hosts("b.example.com")), "hosts do not include"},
		{"a quote", api, rule(t, `*/a"b`, ""), "a resource is a URL"},
		{"braces", api, rule(t, "*/{id}", ""), "a resource is a URL"},
	} {
		got := ""
		if err := test.api.Problem(&test.rule); err != nil {
			got = err.Error()
		}
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
