package policy

import (
	"fmt"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/authz/urlpath"
)

// routeTable finds the rules for a host and a path. The host comes first:
// exact, then the longest wildcard, then rules without a host. Within a host,
// an exact path comes first, then the longest prefix.
type routeTable struct {
	anyHost   pathTable
	exactHost map[string]*pathTable
	wildcards []wildcard // longest first
}

type wildcard struct {
	suffix string // with its leading dot
	paths  *pathTable
}

// pathTable holds the rules of one host.
type pathTable struct {
	exact, prefix map[string]*methodSet
	longest       int             // length in bytes of the longest prefix, so that a long path costs no more
	hasDirPrefix  bool            // some prefix ends with a slash
	templates     []templateRoute // nil if no path has a segment for the subject
}

// methodSet holds the routes of one host and path, or of one name, by method.
type methodSet struct {
	byMethod map[string]*authz.Route
	all      *authz.Route
	first    *authz.Route // gives the error style if no method matches
}

// add puts the rule into the table by its template or, if that is nil, by its
// pattern.
func (t *routeTable) add(pattern urlpath.Pattern, template *urlpath.Template, rule *Rule) error {
	if len(rule.Hosts) == 0 {
		return t.anyHost.add(pattern, template, rule)
	}
	for _, text := range rule.Hosts {
		host, err := ParseHost(text)
		if err != nil {
			return err
		}
		if err := t.forHost(host).add(pattern, template, rule); err != nil {
			return fmt.Errorf("%w at host %s", err, text)
		}
	}
	return nil
}

// forHost returns the table of a host in the form that ParseHost returns. It
// creates the table if there is none yet.
func (t *routeTable) forHost(host string) *pathTable {
	suffix, isWildcard := strings.CutPrefix(host, "*")
	if !isWildcard {
		if t.exactHost == nil {
			t.exactHost = map[string]*pathTable{}
		}
		if t.exactHost[host] == nil {
			t.exactHost[host] = &pathTable{}
		}
		return t.exactHost[host]
	}
	for _, w := range t.wildcards {
		if w.suffix == suffix {
			return w.paths
		}
	}
	w := wildcard{suffix, &pathTable{}}
	t.wildcards = append(t.wildcards, w)
	slices.SortStableFunc(t.wildcards, func(a, b wildcard) int { return len(b.suffix) - len(a.suffix) })
	return w.paths
}

// find returns the methods of a path and of a host in the form that t.host
// returns. It returns nil if there are none.
func (t *routeTable) find(host string, path urlpath.Path) *methodSet {
	if t.hasHosts() {
		if paths := t.exactHost[host]; paths != nil {
			if methods := paths.find(path); methods != nil {
				return methods
			}
		}
		for _, w := range t.wildcards {
			if len(host) > len(w.suffix) && strings.HasSuffix(host, w.suffix) {
				if methods := w.paths.find(path); methods != nil {
					return methods
				}
			}
		}
	}
	return t.anyHost.find(path)
}

func (t *routeTable) hasHosts() bool { return t.exactHost != nil || t.wildcards != nil }

// host returns the host in the form that rules are looked up by, or "" if no
// rule names a host. ok is that of parseHost.
func (t *routeTable) host(value string) (host string, ok bool) {
	if !t.hasHosts() {
		return "", true
	}
	return parseHost(value)
}

func (t *pathTable) add(pattern urlpath.Pattern, template *urlpath.Template, rule *Rule) error {
	if template != nil {
		return t.addTemplate(pattern, template, rule)
	}
	if t.exact == nil {
		t.exact, t.prefix = map[string]*methodSet{}, map[string]*methodSet{}
	}
	path := pattern.Path()
	methods := t.prefix
	if pattern.Exact() {
		methods = t.exact
	} else {
		t.longest = max(t.longest, len(path))
		t.hasDirPrefix = t.hasDirPrefix || strings.HasSuffix(path, "/")
	}
	if methods[path] == nil {
		methods[path] = newMethodSet(rule)
	}
	return methods[path].add(rule)
}

// find returns the methods of the exact path, otherwise those of the longest
// prefix that ends at the end of a segment, otherwise nil.
func (t *pathTable) find(path urlpath.Path) *methodSet {
	methods, end := t.findLiteral(path.Canonical())
	if t.templates != nil {
		return t.findTemplate(path, methods, end)
	}
	return methods
}

// findLiteral returns the methods of the path among those without a template,
// and how many bytes of the path their pattern matches.
func (t *pathTable) findLiteral(p string) (methods *methodSet, end int) {
	if methods := t.exact[p]; methods != nil {
		return methods, len(p)
	}
	if len(p) <= t.longest {
		if methods := t.prefix[p]; methods != nil {
			return methods, len(p)
		}
	}
	for end := min(len(p), t.longest+1); end > 0; {
		slash := strings.LastIndexByte(p[:end], '/')
		if slash < 0 {
			break
		}
		if t.hasDirPrefix {
			if methods := t.prefix[p[:slash+1]]; methods != nil {
				return methods, slash + 1
			}
		}
		if methods := t.prefix[p[:slash]]; methods != nil {
			return methods, slash
		}
		end = slash
	}
	return nil, 0
}

func newMethodSet(rule *Rule) *methodSet {
	return &methodSet{first: &rule.Route, byMethod: map[string]*authz.Route{}}
}

func (m *methodSet) add(rule *Rule) error {
	if len(rule.Methods) == 0 {
		if m.all != nil {
			return fmt.Errorf("cannot be told apart from route %s", m.all)
		}
		m.all = &rule.Route
	}
	for _, method := range rule.Methods {
		if other := m.byMethod[method]; other != nil {
			return fmt.Errorf("cannot be told apart from route %s for method %s", other, method)
		}
		m.byMethod[method] = &rule.Route
	}
	return nil
}

// route returns the route for the method, or denies.
func (m *methodSet) route(method string) (*authz.Route, authz.Reason) {
	if route := m.forMethod(method); route != nil {
		return route, authz.OK
	}
	return m.first, authz.MethodNotAllowed
}

// forMethod returns the route for the method, nil if there is none. A route for
// GET also accepts HEAD (RFC 9110 section 9.3.2).
func (m *methodSet) forMethod(method string) *authz.Route {
	if route := m.byMethod[method]; route != nil {
		return route
	}
	if route := m.byMethod["GET"]; route != nil && method == "HEAD" {
		return route
	}
	return m.all
}
