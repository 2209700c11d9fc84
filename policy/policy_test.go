package policy_test

import (
	"errors"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/policy"
)

// rules parses lines such as "GET,PUT api.example.com /a name"; - means none.
func rules(t *testing.T, lines ...string) []policy.Rule {
	t.Helper()
	var all []policy.Rule
	for _, line := range lines {
		f := strings.Fields(line)
		pattern, err := urlpath.ParsePattern(f[2], urlpath.Rules{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, policy.Rule{Pattern: pattern, Methods: list(f[0]), Hosts: list(f[1]),
			Route: authz.Route{Name: f[3], Path: f[2], Auth: authz.AuthRequired}})
	}
	return all
}

func list(s string) []string {
	if s == "-" {
		return nil
	}
	return strings.Split(s, ",")
}

func TestWhichRoute(t *testing.T) {
	p, err := policy.New(rules(t,
		"- - / root",
		"GET - /a a-get",
		"POST - /a a-post",
		"- - /a/b a-b",
		"GET - =/a/b/c exact",
		"- - /dir/ below",
		"- - /~user tilde",
		"- - /caf%C3%A9 cafe",
		"- - /my%20docs docs",
		"- api.example.com /a host-a",
		"GET *.example.com /a wild-a",
		"- *.deep.example.com /a deep-a",
		"HEAD - /head head-only",
		"GET - /head head-get",
		"- [::1] /six six",
	), authz.Route{Name: "fallback", Auth: authz.AuthRequired})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		method, host, target string
		want                 string
	}{
		{"GET", "", "/", "root"},
		{"GET", "", "/x", "root"},
		{"GET", "", "/a", "a-get"},
		{"GET", "", "/a/", "a-get"},
		{"GET", "", "/a/x/y", "a-get"},
		{"POST", "", "/a/x", "a-post"},
		{"HEAD", "", "/a/x", "a-get"},
		{"HEAD", "", "/head", "head-only"},
		{"DELETE", "", "/a/x", "method_not_allowed"},
		{"get", "", "/a/x", "method_not_allowed"},
		{"", "", "/a/x", "method_not_allowed"},
		{"GET", "", "/ab", "root"},
		{"GET", "", "/a/b", "a-b"},
		{"DELETE", "", "/a/b/x", "a-b"},
		{"GET", "", "/a/b/c", "exact"},
		{"POST", "", "/a/b/c", "method_not_allowed"},
		{"GET", "", "/a/b/c/", "a-b"},
		{"GET", "", "/dir", "root"},
		{"GET", "", "/dir/", "below"},
		{"GET", "", "/dir/x", "below"},
		{"GET", "", "/~user/x", "tilde"},
		{"GET", "", "/%7Euser", "ambiguous_path"},
		{"GET", "", "/%7Eother", "root"},
		{"DELETE", "api.example.com", "/a", "host-a"},
		{"DELETE", "API.Example.com:8080", "/a", "host-a"},
		{"DELETE", "api.example.com.", "/a", "host-a"},
		{"GET", "api.example.com", "/b", "root"},
		{"GET", "x.example.com", "/a", "wild-a"},
		{"POST", "x.example.com", "/a", "method_not_allowed"},
		{"POST", "x.deep.example.com", "/a", "deep-a"},
		{"POST", "example.com", "/a", "a-post"},
		{"POST", ".example.com", "/a", "route_denied"},
		{"POST", "api.example.com..", "/a", "route_denied"},
		{"POST", "api..example.com", "/a", "route_denied"},
		{"POST", "api.example.com:80:80", "/a", "route_denied"},
		{"POST", "api.example.com:x", "/a", "route_denied"},
		{"POST", "u@api.example.com", "/a", "route_denied"},
		{"POST", "[::1", "/a", "route_denied"},
		{"POST", "[api.example.com]", "/a", "route_denied"},
		{"DELETE", "ap\u0130.example.com", "/a", "route_denied"},
		{"GET", "\u212aiosk.example.com", "/a", "route_denied"},
		{"GET", "[0:0:0:0:0:0:0:1]", "/six", "six"},
		{"POST", "my_service:80", "/a", "a-post"},
		{"GET", "", "/caf%c3%a9/x", "cafe"},
		{"GET", "", "/my%20docs", "docs"},
		{"GET", "", "/my%20docs/x", "docs"},
		{"POST", "[::1]:80", "/a", "a-post"},
		{"GET", "[::1]:80", "/six", "six"},
		{"GET", "[::1]", "/six", "six"},
	}
	for _, test := range tests {
		if got := which(t, p, &authz.Request{Method: test.method, Host: test.host, Target: test.target}); got != test.want {
			t.Errorf("%s %s%s: %s, want %s", test.method, test.host, test.target, got, test.want)
		}
	}
}

// TestCaseOfPaths has the same requests for each choice of paths.case.
func TestCaseOfPaths(t *testing.T) {
	lines := []string{"- - /admin admin", "- - /userProfiles profiles", "- - /v1. dotted", "- - /caf%C3%A9 cafe"}
	for _, test := range []struct{ target, refuse, sensitive, insensitive string }{
		{"/admin/users", "admin", "admin", "admin"},
		{"/ADMIN/users", "ambiguous_path", "fallback", "admin"},
		{"/admin/Users", "admin", "admin", "admin"},
		{"/Other", "fallback", "fallback", "fallback"},
		{"/userProfiles/1", "profiles", "profiles", "profiles"},
		{"/userprofiles/1", "ambiguous_path", "fallback", "profiles"}, // the request is in lower case, the route is not
		{"/userprofile", "fallback", "fallback", "fallback"},
		{"/caf%C3%89", "ambiguous_path", "fallback", "cafe"},
		{"/adm%C4%B1n", "ambiguous_path", "fallback", "ambiguous_path"},
		{"/admin.", "ambiguous_path", "ambiguous_path", "ambiguous_path"},
		{"/admin%20/x", "ambiguous_path", "ambiguous_path", "ambiguous_path"},
		{"/%20admin", "ambiguous_path", "ambiguous_path", "ambiguous_path"},
		{"/wiki/Foo_Inc.", "fallback", "fallback", "fallback"},
		{"/admin/Foo_Inc.", "admin", "admin", "admin"},
		{"/v1./x", "dotted", "dotted", "dotted"},
		{"/v1/x", "ambiguous_path", "ambiguous_path", "ambiguous_path"},
	} {
		for pathCase, want := range map[urlpath.Case]string{
			urlpath.CaseRefuse: test.refuse, urlpath.CaseSensitive: test.sensitive, urlpath.CaseInsensitive: test.insensitive,
		} {
			pathRules := urlpath.Rules{Case: pathCase}
			all := rules(t, lines...)
			for i := range all {
				pattern, err := urlpath.ParsePattern(all[i].Route.Path, pathRules)
				if err != nil {
					t.Fatal(err)
				}
				all[i].Pattern = pattern
			}
			p, err := policy.New(all, authz.Route{Name: "fallback", Auth: authz.AuthRequired})
			if err != nil {
				t.Fatal(err)
			}
			path, err := urlpath.Parse(test.target, pathRules)
			if err != nil {
				t.Fatal(err)
			}
			route, reason := p.Route(&authz.Request{Method: "GET", Target: test.target}, path)
			if got := reason.String(); reason != authz.OK && got != want || reason == authz.OK && route.Name != want {
				t.Errorf("%s by %d: %s by route %s, want %s", test.target, pathCase, got, route, want)
			}
		}
	}
}

// TestRouteByName: the proxy matched the path and the host, but not the method.
func TestRouteByName(t *testing.T) {
	p, err := policy.New(rules(t, "- - / root", "GET api.example.com /a a-get", "GET,POST - /b b-change"), authz.Route{Name: "fallback", Auth: authz.AuthRequired})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ method, name, want string }{
		{"GET", "a-get", "a-get"},
		{"HEAD", "a-get", "a-get"},
		{"POST", "a-get", "method_not_allowed"},
		{"DELETE", "a-get", "method_not_allowed"},
		{"get", "a-get", "method_not_allowed"},
		{"", "a-get", "method_not_allowed"},
		{"POST", "b-change", "b-change"},
		{"PUT", "b-change", "method_not_allowed"},
		{"DELETE", "root", "root"},
		{"GET", "nowhere", "unavailable"},
	} {
		r := &authz.Request{Method: test.method, Host: "other.example.com", Target: "/elsewhere", RouteName: test.name}
		if got := which(t, p, r); got != test.want {
			t.Errorf("%s by the name %s: %s, want %s", test.method, test.name, got, test.want)
		}
	}
}

func which(t *testing.T, p *policy.Policy, r *authz.Request) string {
	t.Helper()
	path, err := urlpath.Parse(r.Target, urlpath.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	route, reason := p.Route(r, path)
	if reason != authz.OK {
		return reason.String()
	}
	return route.Name
}

func TestZeroPolicyDenies(t *testing.T) {
	var p policy.Policy
	if got := which(t, &p, &authz.Request{Method: "GET", Target: "/"}); got != "route_denied" {
		t.Errorf("the zero Policy: %s", got)
	}
	strict, err := policy.New(nil, authz.Route{})
	if err != nil {
		t.Fatal(err)
	}
	route, reason := strict.Route(&authz.Request{Target: "/"}, mustPath(t, "/"))
	if reason != authz.OK || route.Auth != authz.AuthDeny {
		t.Errorf("no rules, zero default route: %s %v", reason, route.Auth)
	}
}

func TestConflictingRules(t *testing.T) {
	for _, lines := range [][]string{
		{"- - /a x", "- - /a y"},
		{"GET,PUT - /a x", "PUT - /a y"},
		{"- a.example.com,b.example.com /a x", "- B.example.com /a y"},
		{"- *.example.com /a x", "- *.example.com /a y"},
		{"- - /caf%c3%a9 x", "- - /caf%C3%A9 y"},
		{"- - /a same", "- - /b same"},
		{"- - /~a x", "- - /%7Ea y"},
		{"- [::1] /a x", "- [0:0:0:0:0:0:0:1] /a y"},
		{"- - /a x", "- a..b /b y"},
		{"- - /a x", "- - /A y"},
		{"- - /a x", "- - /a.%20 y"},
	} {
		_, err := policy.New(rules(t, lines...), authz.Route{})
		var rule *policy.RuleError
		if !errors.As(err, &rule) || rule.Rule != 1 {
			t.Errorf("%v: %v, want an error about the second", lines, err)
		}
	}
	for _, lines := range [][]string{
		{"- - /a x", "- - =/a y"},
		{"- - /a x", "- - /a/ y"},
		{"GET - /a x", "- - /a y"},
		{"GET - /a x", "HEAD - /a y"},
		{"- a.example.com /a x", "- *.example.com /a y"},
	} {
		if _, err := policy.New(rules(t, lines...), authz.Route{}); err != nil {
			t.Errorf("%v: %v", lines, err)
		}
	}
}

func TestAuthorize(t *testing.T) {
	p, err := policy.New(nil, authz.Route{})
	if err != nil {
		t.Fatal(err)
	}
	valid := func() *authz.Principal {
		return &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, Project: "p1", Paths: paths(t, "/a"), UserPaths: paths(t, "/a/b"), Scopes: scopes(t, "read", "write")}
	}
	requires := func() *authz.Route {
		return &authz.Route{Auth: authz.AuthRequired, AcceptAuth: []authz.AuthMethod{authz.AuthMethodAPIKey}, Scopes: scopes(t, "read"), Project: "p1"}
	}
	tests := []struct {
		name string
		path string
		edit func(*authz.Principal, *authz.Route)
		want authz.Reason
	}{
		{"all requirements met", "/a/b/c", func(*authz.Principal, *authz.Route) {}, authz.OK},
		{"outside the key's paths", "/b", func(*authz.Principal, *authz.Route) {}, authz.PathNotAllowed},
		{"outside the user's paths", "/a/c", func(*authz.Principal, *authz.Route) {}, authz.PathNotAllowed},
		{"zero path set", "/a/b", func(p *authz.Principal, _ *authz.Route) { p.Paths = urlpath.Set{} }, authz.PathNotAllowed},
		{"zero user path set", "/a/b", func(p *authz.Principal, _ *authz.Route) { p.UserPaths = urlpath.Set{} }, authz.PathNotAllowed},
		{"one scope of two", "/a/b", func(_ *authz.Principal, r *authz.Route) { r.Scopes = scopes(t, "read", "admin") }, authz.InsufficientScope},
		{"no scopes", "/a/b", func(p *authz.Principal, _ *authz.Route) { p.Scopes = authz.Scopes{} }, authz.InsufficientScope},
		{"a prefix of a scope", "/a/b", func(p *authz.Principal, _ *authz.Route) { p.Scopes = scopes(t, "read:all") }, authz.InsufficientScope},
		{"wrong project", "/a/b", func(p *authz.Principal, _ *authz.Route) { p.Project = "p2" }, authz.WrongProject},
		{"no project", "/a/b", func(p *authz.Principal, _ *authz.Route) { p.Project = "" }, authz.WrongProject},
		{"no project required", "/a/b", func(_ *authz.Principal, r *authz.Route) { r.Project = "" }, authz.OK},
		{"no kind required", "/a/b", func(_ *authz.Principal, r *authz.Route) { r.AcceptAuth = nil }, authz.OK},
		{"wrong kind", "/a/b", func(_ *authz.Principal, r *authz.Route) { r.AcceptAuth = []authz.AuthMethod{authz.AuthMethodJWT} }, authz.WrongKind},
		{"zero principal and route", "/a/b", func(p *authz.Principal, r *authz.Route) { *p, *r = authz.Principal{}, authz.Route{} }, authz.Internal},
	}
	for _, test := range tests {
		principal, route := valid(), requires()
		test.edit(principal, route)
		if got := p.Authorize(principal, mustPath(t, test.path), route); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if got := p.Authorize(nil, mustPath(t, "/"), requires()); got.Allows() {
		t.Error("a nil principal is authorized")
	}
}

func mustPath(t *testing.T, s string) urlpath.Path {
	t.Helper()
	p, err := urlpath.Parse(s, urlpath.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func paths(t *testing.T, patterns ...string) urlpath.Set {
	t.Helper()
	set, err := urlpath.ParseSet(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func scopes(t *testing.T, names ...string) authz.Scopes {
	t.Helper()
	s, err := authz.ParseScopes(names)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
