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
	table    routeTable
	plain    routeTable // the same routes by what an eager upstream reads, see authz.Path.Decoded
	eager    bool       // some route has another pattern in plain than in table
	byName   map[string]*group
	fallback *authz.Route
}

// New compiles the rules; the fallback is the route of requests that match
// none. All mistakes are reported at once, joined: two rules that cannot be told
// apart, and names used twice.
func New(rules []Rule, fallback authz.Route) (*Policy, error) {
	p := &Policy{byName: map[string]*group{}, fallback: &fallback}
	var problems []error
	for i := range rules {
		rule := &rules[i]
		if name := rule.Route.Name; name != "" {
			if p.byName[name] != nil {
				problems = append(problems, &RuleError{i, fmt.Sprintf("the name %q is taken by another route", name)})
			}
			p.byName[name] = newGroup(rule)
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
	p.eager = p.eager || rule.Pattern.IsAmbiguous()
	if err := p.plain.add(rule.Pattern.Decoded(), rule); err != nil {
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
	if p.fallback == nil {
		return nil, authz.RouteDenied
	}
	if r.RouteName != "" {
		if named := p.byName[r.RouteName]; named != nil {
			return named.route(r.Method)
		}
		return p.fallback, authz.Unavailable
	}
	host, ok := p.table.host(r.Host)
	if !ok {
		return p.fallback, authz.RouteDenied
	}
	route, reason := p.match(&p.table, host, r.Method, path)
	if path.IsAmbiguous() || p.eager {
		// An upstream that decodes, trims or ignores case must not see a path of another route.
		if eager, _ := p.match(&p.plain, host, r.Method, path.Decoded()); eager != route {
			return p.fallback, authz.AmbiguousPath
		}
	}
	return route, reason
}

// match looks the route up. A path that has only routes of other methods is
// refused and never falls through to a shorter path or to the fallback.
func (p *Policy) match(table *routeTable, host, method string, path authz.Path) (*authz.Route, authz.Reason) {
	group := table.find(host, path)
	if group == nil {
		return p.fallback, authz.OK
	}
	return group.route(method)
}

// Authorize implements authz.Policy. It holds for a principal from a cache as for a fresh one.
func (p *Policy) Authorize(who *authz.Principal, path authz.Path, route *authz.Route) authz.Reason {
	switch {
	case who == nil || who.AuthMethod == authz.AuthMethodNone:
		return authz.Internal
	case !accepts(route.AcceptAuth, who.AuthMethod):
		return authz.WrongKind
	case !who.Paths.Contains(path) || !who.UserPaths.Contains(path):
		return authz.PathNotAllowed
	case !who.Scopes.Contains(route.Scopes):
		return authz.InsufficientScope
	case route.Project != "" && who.Project != route.Project:
		return authz.WrongProject
	default:
		return authz.OK
	}
}

func accepts(accepted []authz.AuthMethod, m authz.AuthMethod) bool {
	for _, accepted := range accepted {
		if accepted == m {
			return true
		}
	}
	return len(accepted) == 0
}
