// Package policy decides whether a principal may use a route for a path:
// routes, path restrictions, methods, scopes, projects. It does no I/O and
// reads no clock. The same policy and request always give the same answer.
package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/authz/urlpath"
)

// Rule is one route as the operator wrote it: the requests that it applies to,
// and what it requires of them.
type Rule struct {
	Pattern urlpath.Pattern
	Methods []string // empty for all
	Hosts   []string // "api.example.com" or "*.example.com"; empty for all
	Route   authz.Route
	// Resource means that the path is that of a protected resource of its own
	// (RFC 9728), see package resources.
	Resource bool
}

// AppliesTo reports whether the rule applies to some request whose Host is the
// value, with or without a port.
func (r *Rule) AppliesTo(value string) bool {
	host, ok := parseHost(value)
	return ok && (len(r.Hosts) == 0 || slices.ContainsFunc(r.Hosts, func(text string) bool {
		own, err := ParseHost(text)
		suffix, wildcard := strings.CutPrefix(own, "*")
		return err == nil && (own == host || wildcard && strings.HasSuffix(host, suffix))
	}))
}

// Policy is a compiled set of rules. The zero Policy denies everything.
type Policy struct {
	table        routeTable
	decoded      routeTable        // the same routes as an upstream that decodes paths reads them, see urlpath.Path.Decoded
	ambiguous    bool              // some route has different patterns in decoded and in table
	nonASCII     []urlpath.Pattern // patterns with characters outside ASCII
	byName       map[string]*methodSet
	defaultRoute *authz.Route
}

// New compiles the rules. Requests that match none get defaultRoute. New
// reports all mistakes in one joined error: two rules that match the same
// requests, and names used twice.
func New(rules []Rule, defaultRoute authz.Route) (*Policy, error) {
	p := &Policy{byName: map[string]*methodSet{}, defaultRoute: &defaultRoute}
	var problems []error
	for i := range rules {
		rule := &rules[i]
		if name := rule.Route.Name; name != "" {
			if p.byName[name] != nil {
				problems = append(problems, &RuleError{i, fmt.Sprintf("the name %q is taken by another route", name)})
			}
			p.byName[name] = newMethodSet(rule)
			_ = p.byName[name].add(rule) // the error is the table's, which is reported
		}
		if err := p.add(rule); err != nil {
			problems = append(problems, &RuleError{i, err.Error()})
		}
	}
	return p, errors.Join(problems...)
}

// add puts the rule into both tables.
func (p *Policy) add(rule *Rule) error {
	switch auth := rule.Route.Auth; {
	case !rule.Pattern.IsUTF8():
		return errNotUTF8
	case rule.Route.Template != nil && (auth == authz.AuthNone || auth == authz.AuthOptional):
		return errNoSubject
	}
	if err := p.table.add(rule.Pattern, rule.Route.Template, rule); err != nil {
		return err
	}
	p.ambiguous = p.ambiguous || rule.Pattern.IsAmbiguous()
	if err := p.decoded.add(rule.Pattern.Decoded(), rule.Route.Template.Decoded(), rule); err != nil {
		return fmt.Errorf("%w by an upstream that ignores the case of letters (see paths.case), decodes escapes or trims segments", err)
	}
	if rule.Pattern.HasNonASCII() {
		p.nonASCII = append(p.nonASCII, rule.Pattern)
	}
	return nil
}

// errNoSubject is the problem of a route that admits requests without a
// subject to a subject's path.
var errNoSubject = errors.New("anonymous requests have no subject: a path with {subject} needs `auth: required`")

var errNotUTF8 = errors.New("the path of a route must be valid UTF-8, because servers read other bytes as different paths: write the segments before it")

// RuleError describes a problem of one rule.
type RuleError struct {
	Rule    int
	Problem string
}

// Error implements error.
func (e *RuleError) Error() string { return e.Problem }

// Route implements authz.Policy. It finds the route by name and method if the
// proxy gave a name, and otherwise by host, path and method.
func (p *Policy) Route(r *authz.Request, path urlpath.Path) (*authz.Route, authz.Reason) {
	if p.defaultRoute == nil {
		return nil, authz.RouteDenied
	}
	if r.RouteName != "" {
		if named := p.byName[r.RouteName]; named != nil {
			return named.route(r.Method)
		}
		return p.defaultRoute, authz.Unavailable
	}
	host, ok := p.table.host(r.Host)
	if !ok {
		return p.defaultRoute, authz.RouteDenied
	}
	route, reason := p.match(&p.table, host, r.Method, path)
	if path.IsAmbiguous() || p.ambiguous {
		// An upstream that decodes, trims or ignores case must not see a path
		// of another route.
		if !p.isOnRoute(route, host, r.Method, path) {
			return p.defaultRoute, authz.AmbiguousPath
		}
	}
	return route, reason
}

// isOnRoute reports whether the path is on the route however an upstream reads
// it.
func (p *Policy) isOnRoute(route *authz.Route, host, method string, path urlpath.Path) bool {
	if decoded, _ := p.match(&p.decoded, host, method, path.Decoded()); decoded != route {
		return false
	}
	if path.IsUTF8() {
		return true
	}
	for _, reading := range path.OtherReadings() {
		if decoded, _ := p.match(&p.decoded, host, method, reading); decoded != route {
			return false
		}
	}
	return !slices.ContainsFunc(p.nonASCII, func(pattern urlpath.Pattern) bool { return pattern.MayMatch(path) })
}

// match looks up the route. A path that only has routes for other methods is
// refused. It never falls through to a shorter path or to the default route.
func (p *Policy) match(table *routeTable, host, method string, path urlpath.Path) (*authz.Route, authz.Reason) {
	methods := table.find(host, path)
	if methods == nil {
		return p.defaultRoute, authz.OK
	}
	return methods.route(method)
}

// Authorize implements authz.Policy. It applies to cached principals as to new
// ones.
func (p *Policy) Authorize(principal *authz.Principal, path urlpath.Path, route *authz.Route) authz.Reason {
	switch {
	case principal == nil || principal.AuthMethod == authz.AuthMethodNone:
		return authz.Internal
	case !accepts(route.AcceptAuth, principal.AuthMethod):
		return authz.WrongKind
	case !principal.Paths.Contains(path) || !principal.UserPaths.Contains(path):
		return authz.PathNotAllowed
	case route.Template != nil && route.CheckSubject(principal, path) != nil:
		// Here and not where the route is found: a route by name is found
		// without its path.
		return authz.PathNotAllowed
	case !principal.Scopes.Contains(route.Scopes) || !principal.Scopes.ContainsAny(route.ScopesAny):
		return authz.InsufficientScope
	case route.Project != "" && principal.Project != route.Project:
		return authz.WrongProject
	default:
		return authz.OK
	}
}

// accepts reports whether a route that accepts these kinds of credential
// accepts m. An empty list accepts all.
func accepts(accepted []authz.AuthMethod, m authz.AuthMethod) bool {
	for _, a := range accepted {
		if a == m {
			return true
		}
	}
	return len(accepted) == 0
}
