package policy_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/internal/pathreadings"
	"keyward/internal/prove"
	"keyward/policy"
)

// TestEveryReadingHasOneRoute enumerates paths, all combinations of paths.allow
// and paths.case, and the paths that upstreams may read. It checks that every
// path that a chain of four steps can make of an accepted path has the route
// that was applied.
func TestEveryReadingHasOneRoute(t *testing.T) {
	tokens := []string{"/", "admin", "ADMIN", "x", ";", "%3B", "%2F", "%25", "%252F", "%253B", ".", "%2E", "%20", "%3F", "%23", "%5C", "%FF", "%82", "%EF%BC%8F", "%E2%88%95"}
	targets := []string{
		"/%3B%252Fx/admin", "/x/%3B%252F../admin", "/%253B%252Fx/admin", "/x;/admin", "//admin", "/x%2Fadmin/", "/%2561dmin", "/%61dmin", "/admin%2E%20",
		"/%2520admin", "/adm%C4%B1n", "/adm%C4%B0n", "/%C5%BFadmin", "/admin%E3%80%80", "/admin%C2%A0/x", "/admin;x", "/admin%3Bx", "/%252561dmin",
		"/admin%3Fx", "/admin%23", "/admin%5Cx", "/x%5Cadmin", "/%5Cadmin", "/%EF%BD%81dmin", "/%EF%BC%85%36%31dmin", "/%E2%88%95admin", "/admin%EF%BC%9Fx", "/admin%EF%BC%9B",
		"/admin%FF", "/admin%FFx", "/%85admin", "/%FFadmin", "/adm%FFin", "/adm%C1%A9n", "/%C1admin", "/%AAdmin", "/admin%A0", "/admin%85", "/%82%81dmin", "/%A3%E1dmin", "/%A2%E9dmin",
		"/%81%5Eadmin", "/x%81%5F..", "/admin%81%48x", "/admin%A1%A9", "/admin%2500x", "/%25FFadmin", "/admin%C2%A5x", "/%81\\admin",
	}
	targets = append(targets, spellings(tokens, prove.Size(2, 4))...)
	words := slices.Sorted(maps.Keys(new(urlpath.Rules).Words()))
	for set := range 1 << len(words) {
		for _, pathCase := range []urlpath.Case{urlpath.CaseRefuse, urlpath.CaseSensitive, urlpath.CaseInsensitive} {
			if set != 1<<len(words)-1 && set%prove.Size(37, 1) != 0 {
				continue // a sample of the sets
			}
			rules := urlpath.Rules{Case: pathCase}
			for i, word := range words {
				*rules.Words()[word] = set&(1<<i) != 0
			}
			hasOneRoute(t, rules, targets)
		}
	}
}

// TestRoutesOutsideASCII: a path that is not valid UTF-8 may be any other route
// with characters outside ASCII, to a server with another character encoding.
func TestRoutesOutsideASCII(t *testing.T) {
	rules := urlpath.Rules{NonUTF8: true, EncodedBackslash: true}
	build := func(texts ...string) (*policy.Policy, error) {
		var all []policy.Rule
		for _, text := range texts {
			pattern, err := urlpath.ParsePattern(text, rules)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, policy.Rule{Pattern: pattern, Route: authz.Route{Name: text, Path: text}})
		}
		return policy.New(all, authz.Route{Name: "other"})
	}
	p, err := build("/%E3%82%BD", "/caf%C3%A9/x", "/caf", "/wiki")
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"/%83%5C": "ambiguous_path", "/%83": "ambiguous_path", "/caf%E9/x": "ambiguous_path", "/caf%E9": "ambiguous_path", "/caf/%E9": "/caf",
		"/wiki/caf%E9": "/wiki", "/wiki/%83%5C": "/wiki", "/other/%E9": "other", "/%E3%82%BD/%E9": "ambiguous_path", "/caff%E9": "other",
	} {
		path, err := urlpath.Parse(target, rules)
		if err != nil {
			t.Fatal(err)
		}
		route, reason := p.Route(&authz.Request{Method: "GET", Target: target}, path)
		if got := reason.String(); reason != authz.OK && got != want || reason == authz.OK && route.Name != want {
			t.Errorf("%s: %s by %s, want %s", target, got, route, want)
		}
	}
	if p, err = build("/tm"); err != nil {
		t.Fatal(err)
	}
	path, err := urlpath.Parse("/%99", rules) // ™ in Windows-1252, which NFKC makes TM
	if err != nil {
		t.Fatal(err)
	}
	if _, reason := p.Route(&authz.Request{Method: "GET"}, path); reason != authz.AmbiguousPath {
		t.Errorf("/%%99 beside /tm: %s", reason)
	}
	if _, err := build("/caf%E9"); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("a route that is not UTF-8: %v", err)
	}
}

// spellings returns all paths of one to n tokens.
func spellings(tokens []string, n int) []string {
	var all []string
	last := []string{"/"}
	for range n {
		var longer []string
		for _, path := range last {
			for _, token := range tokens {
				longer = append(longer, path+token)
			}
		}
		all, last = append(all, longer...), longer
	}
	return all
}

func hasOneRoute(t *testing.T, rules urlpath.Rules, targets []string) {
	t.Helper()
	pattern, err := urlpath.ParsePattern("/admin", rules)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.New([]policy.Rule{{Pattern: pattern, Route: authz.Route{Name: "admin"}}}, authz.Route{Name: "other"})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		path, err := urlpath.Parse(target, rules)
		if err != nil {
			continue
		}
		route, reason := p.Route(&authz.Request{Method: "GET", Target: target}, path)
		if reason != authz.OK {
			continue
		}
		visit := func(reading string) {
			if on := reading == "/admin" || strings.HasPrefix(reading, "/admin/"); on != (route.Name == "admin") {
				t.Fatalf("with %+v %q has route %s, but an upstream may read %q", rules, target, route.Name, reading)
			}
		}
		pathreadings.Each(path.Canonical(), rules.LookAlike, func(reading string) {
			if rules.Case != urlpath.CaseInsensitive {
				visit(reading)
			}
			if rules.Case != urlpath.CaseSensitive {
				for _, lower := range pathreadings.Lower(reading) {
					visit(lower)
				}
			}
		})
	}
}
