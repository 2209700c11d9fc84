package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/policy"
)

var (
	errorStyles = stylesByName()
	authMethods = authMethodsByName(func(m authz.AuthMethodInfo) bool { return len(m.Schemes) > 0 && !m.Console })
)

// authMethodsByName returns the kinds of credential for which wanted is true.
func authMethodsByName(wanted func(authz.AuthMethodInfo) bool) map[string]authz.AuthMethod {
	methods := map[string]authz.AuthMethod{}
	for _, m := range authz.AuthMethods() {
		if wanted(m) {
			methods[m.Name] = m.Method
		}
	}
	return methods
}

func stylesByName() map[string]authz.ErrorStyle {
	styles := map[string]authz.ErrorStyle{}
	for _, style := range authz.ErrorStyles() {
		styles[style.String()] = style
	}
	return styles
}

var authModes = map[string]authz.AuthMode{
	"deny":     authz.AuthDeny,
	"none":     authz.AuthNone,
	"optional": authz.AuthOptional,
	"required": authz.AuthRequired,
}

// routes reads the rules. Package policy reports which of them contradict each
// other.
func (d *decoder) routes(v value, cfg *Config) {
	var lines []int
	d.each(v, func(element value) {
		before := len(d.problems)
		if rule := d.rule(element, cfg); len(d.problems) == before {
			cfg.Routes = append(cfg.Routes, rule)
			lines = append(lines, element.Line)
		}
	})
	_, err := policy.New(cfg.Routes, cfg.Default)
	for _, err := range joinedErrors(err) {
		line := v.Line
		var ruleErr *policy.RuleError
		if errors.As(err, &ruleErr) {
			line = lines[ruleErr.Rule]
		}
		d.problem(line, "routes: %v", err)
	}
}

// joinedErrors returns the errors that errors.Join has joined.
func joinedErrors(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// rule reads one route. By default it requires a credential.
func (d *decoder) rule(v value, cfg *Config) policy.Rule {
	rule := policy.Rule{Route: authz.Route{
		Auth: authz.AuthRequired, Errors: cfg.Errors, ForwardCredentials: cfg.ForwardCredentials,
	}}
	before := len(d.problems)
	d.mapping(v, append(d.routeKeys(&rule.Route), fields{
		{"name", d.checked(&rule.Route.Name, validRouteName)},
		{"path", d.pattern(&rule, cfg.Paths)},
		{"methods", d.list(&rule.Methods, validMethod)},
		{"hosts", d.list(&rule.Hosts, validHost)},
	}...))
	if len(d.problems) == before && rule.Route.Path == "" {
		d.problem(v.Line, "routes: a route needs a path; `path: /` is for all")
	}
	// No two routes can have the same, see policy.
	rule.Route.Identity = fmt.Sprintf("%s %q %q", rule.Route.Path, slices.Sorted(slices.Values(rule.Methods)), slices.Sorted(slices.Values(rule.Hosts)))
	d.checkOpenRoute(v, &rule.Route)
	if rule.Route.Preflight && len(rule.Methods) > 0 && !slices.Contains(rule.Methods, "OPTIONS") {
		d.problem(v.Line, "routes.preflight: a preflight is OPTIONS, which methods does not name")
	}
	return rule
}

// defaultRoute reads the route of requests that match no other.
func (d *decoder) defaultRoute(v value, cfg *Config) {
	d.mapping(v, d.routeKeys(&cfg.Default))
	d.checkOpenRoute(v, &cfg.Default)
}

// routeKeys are the keys that say what a route requires of a request.
func (d *decoder) routeKeys(route *authz.Route) fields {
	var scopes []string
	return fields{
		{"auth", choice(d, &route.Auth, authModes)},
		{"credentials", func(v value) { d.acceptAuth(v, route) }},
		{"scopes", func(v value) {
			d.list(&scopes, validScope)(v)
			route.Scopes, _ = authz.ParseScopes(scopes)
		}},
		{"project", d.text(&route.Project)},
		{"errors", choice(d, &route.Errors, errorStyles)},
		{"rate", d.limitSpec(&route.Rate, &route.RateShadow)},
		{"preflight", d.boolean(&route.Preflight)},
		{"forward_credentials", d.boolean(&route.ForwardCredentials)},
	}
}

func (d *decoder) acceptAuth(v value, route *authz.Route) {
	d.each(v, func(element value) {
		var kind authz.AuthMethod
		if choice(d, &kind, authMethods)(element); kind != authz.AuthMethodNone {
			route.AcceptAuth = append(route.AcceptAuth, kind)
		}
	})
}

// checkOpenRoute reports requirements that have no effect on a route without
// credentials.
func (d *decoder) checkOpenRoute(v value, route *authz.Route) {
	if route.Auth == authz.AuthNone && (len(route.Scopes.Names()) > 0 || route.Project != "" || len(route.AcceptAuth) > 0) {
		d.problem(v.Line, "%s: with `auth: none` scopes, project and credentials have no effect", v.name)
	}
}

func (d *decoder) pattern(rule *policy.Rule, rules urlpath.Rules) field {
	return func(v value) {
		text, ok := d.readText(v)
		if !ok {
			return
		}
		pattern, err := urlpath.ParsePattern(text, rules)
		if err != nil {
			d.refuse(v, err)
			return
		}
		rule.Pattern, rule.Route.Path = pattern, text
	}
}

func validScope(scope string) error {
	_, err := authz.ParseScopes([]string{scope})
	return err
}

func validRouteName(name string) error {
	if len(name) > 255 {
		return errors.New("a name is at most 255 bytes")
	}
	return nil
}

// validMethod requires upper case: methods are case-sensitive (RFC 9110 section
// 9.1), and a route for "get" would never match.
func validMethod(method string) error {
	switch upper := strings.ToUpper(method); {
	case !isWord(method, "-_"):
		return fmt.Errorf("%q is not an HTTP method", method)
	case upper != method:
		return fmt.Errorf("methods are in upper case: %s", upper)
	}
	return nil
}

func validHost(host string) error {
	_, err := policy.ParseHost(host)
	return err
}
