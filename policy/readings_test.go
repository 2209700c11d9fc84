package policy_test

import (
	"net/url"
	"strings"
	"testing"
	"unicode"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/internal/prove"
	"keyward/policy"
)

// TestEveryReadingHasOneRoute enumerates paths, all combinations of paths.allow
// and paths.case, and the paths that upstreams may read. It checks that every
// path that a chain of four steps can make of an accepted path has the route
// that was applied.
func TestEveryReadingHasOneRoute(t *testing.T) {
	tokens := []string{"/", "admin", "ADMIN", "x", ";", "%3B", "%2F", "%25", "%252F", "%253B", ".", "%2E", "%20"}
	targets := []string{
		"/%3B%252Fx/admin", "/x/%3B%252F../admin", "/%253B%252Fx/admin", "/x;/admin", "//admin", "/x%2Fadmin/", "/%2561dmin", "/%61dmin", "/admin%2E%20",
		"/%2520admin", "/adm%C4%B1n", "/adm%C4%B0n", "/%C5%BFadmin", "/admin%E3%80%80", "/admin%C2%A0/x", "/admin;x", "/admin%3Bx", "/%252561dmin",
	}
	targets = append(targets, spellings(tokens, prove.Size(3, 5))...)
	for set := range 32 {
		for _, pathCase := range []urlpath.Case{urlpath.CaseRefuse, urlpath.CaseSensitive, urlpath.CaseInsensitive} {
			rules := urlpath.Rules{
				Semicolon: set&1 != 0, EncodedSlash: set&2 != 0, EncodedPercent: set&4 != 0, EncodedUnreserved: set&8 != 0, EmptySegment: set&16 != 0,
				Case: pathCase,
			}
			hasOneRoute(t, rules, targets)
		}
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
		eachReading(path.Canonical(), rules.Case, func(reading string) {
			if on := reading == "/admin" || strings.HasPrefix(reading, "/admin/"); on != (route.Name == "admin") {
				t.Fatalf("with %+v %q has route %s, but an upstream may read %q", rules, target, route.Name, reading)
			}
		})
	}
}

// eachReading calls visit with every path that an upstream may read. It shares
// no code with the package under test.
func eachReading(path string, pathCase urlpath.Case, visit func(string)) {
	seen := map[string]bool{path: true}
	last := []string{path}
	for range 4 {
		var next []string
		for _, p := range last {
			for _, read := range []func(string) string{decoded, cut, merged} {
				if r := read(p); !seen[r] {
					seen[r] = true
					next = append(next, r)
				}
			}
		}
		last = next
	}
	for reading := range seen {
		for _, r := range []string{reading, trimmed(reading)} {
			if pathCase != urlpath.CaseInsensitive {
				visit(r)
			}
			if pathCase != urlpath.CaseSensitive {
				visit(strings.ToLower(r))
				visit(strings.ToLower(strings.ToUpper(r)))
			}
		}
	}
}

// decoded decodes once, and leaves everything that is not an escape.
func decoded(path string) string {
	parts := strings.SplitAfter(strings.ReplaceAll(path, "%", "\x00%"), "\x00")
	for i, part := range parts {
		part = strings.TrimSuffix(part, "\x00")
		if len(part) >= 3 {
			if c, err := url.PathUnescape(part[:3]); err == nil {
				part = c + part[3:]
			}
		}
		parts[i] = part
	}
	return strings.Join(parts, "")
}

func cut(path string) string {
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = strings.Split(segments[i], ";")[0]
	}
	return strings.Join(segments, "/")
}

func merged(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

func trimmed(path string) string {
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = strings.TrimRightFunc(strings.TrimLeftFunc(segments[i], unicode.IsSpace), func(c rune) bool { return c == '.' || unicode.IsSpace(c) })
	}
	return strings.Join(segments, "/")
}
