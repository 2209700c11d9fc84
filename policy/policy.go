// Package policy answers whether a principal may do something in a place:
// routes, path restrictions, methods, scopes, projects. It refuses to do I/O
// or to read a clock: the same policy and request always give the same answer.
package policy

import (
	"errors"
	"fmt"

	"keyward/authz"
)

// Rule is one route as the operator wrote it: for which requests it stands, and what it asks of them.
type Rule struct {
	Pattern authz.Pattern
	Methods []string // empty is all
	Hosts   []string // "api.example.com" or "*.example.com"; empty is all
	Route   authz.Route
}

// Policy is a compiled set of rules. The zero Policy denies everything.
type Policy struct {
	table        routeTable
	decoded      routeTable // the same routes as an upstream that decodes reads them, see authz.Path.Decoded
	ambiguous    bool       // some route has another pattern in decoded than in table
	byName       map[string]*methodSet
	defaultRoute *authz.Route
}

// New compiles the rules; defaultRoute is the route of requests that match none.
// All mistakes are reported at once, joined: two rules that match the same
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
			_ = p.byName[name].add(rule) // fails as in the table, which is reported
		}
		if err := p.add(rule); err != nil {
			problems = append(problems, &RuleError{i, err.Error()})
		}
	}
	return p, errors.Join(problems...)
}

// add puts the rule into both tables.
func (p *Policy) add(rule *Rule) error {
	if err := p.table.add(rule.Pattern, rule); err != nil {
		return err
	}
	p.ambiguous = p.ambiguous || rule.Pattern.IsAmbiguous()
	if err := p.decoded.add(rule.Pattern.Decoded(), rule); err != nil {
		return fmt.Errorf("%w by an upstream that ignores the case of letters (see paths.case), decodes escapes or trims segments", err)
	}
	return nil
}

// RuleError says what is wrong with one rule, given by its index.
type RuleError struct {
	Rule    int
	Problem string
}

// Error implements error.
func (e *RuleError) Error() string { return e.Problem }

// Route implements authz.Policy: by name and method where the proxy gave a
// name, else by host, path and method.
func (p *Policy) Route(r *authz.Request, path authz.Path) (*authz.Route, authz.Reason) {
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
		// An upstream that decodes, trims or ignores case must not see a path of another route.
		if decoded, _ := p.match(&p.decoded, host, r.Method, path.Decoded()); decoded != route {
			return p.defaultRoute, authz.AmbiguousPath
		}
	}
	return route, reason
}

// match looks the route up. A path that has only routes of other methods is
// refused and never falls through to a shorter path or to the default route.
func (p *Policy) match(table *routeTable, host, method string, path authz.Path) (*authz.Route, authz.Reason) {
	methods := table.find(host, path)
	if methods == nil {
		return p.defaultRoute, authz.OK
	}
	return methods.route(method)
}

// Authorize implements authz.Policy. It holds for a principal from a cache as for a fresh one.
func (p *Policy) Authorize(principal *authz.Principal, path authz.Path, route *authz.Route) authz.Reason {
	switch {
	case principal == nil || principal.AuthMethod == authz.AuthMethodNone:
		return authz.Internal
	case !accepts(route.AcceptAuth, principal.AuthMethod):
		return authz.WrongKind
	case !principal.Paths.Contains(path) || !principal.UserPaths.Contains(path):
		return authz.PathNotAllowed
	case !principal.Scopes.Contains(route.Scopes):
		return authz.InsufficientScope
	case route.Project != "" && principal.Project != route.Project:
		return authz.WrongProject
	default:
		return authz.OK
	}
}

// accepts reports whether a route that accepts these kinds of credential, none
// of them meaning all, accepts m.
func accepts(accepted []authz.AuthMethod, m authz.AuthMethod) bool {
	for _, a := range accepted {
		if a == m {
			return true
		}
	}
	return len(accepted) == 0
}
