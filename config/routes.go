package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/policy"
)

var (
	errorStyles = stylesByName()
	authMethods = authMethodsByName(func(m authz.AuthMethodInfo) bool { return len(m.Schemes) > 0 })
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

// routes reads the rules. Package policy reports which of them contradict each other.
func (r *reader) routes(v value, cfg *Config) {
	var lines []int
	r.each(v, func(element value) {
		before := len(r.problems)
		if rule := r.rule(element, cfg); len(r.problems) == before {
			cfg.Routes = append(cfg.Routes, rule)
			lines = append(lines, element.Line)
		}
	})
	_, err := policy.New(cfg.Routes, cfg.Default)
	for _, err := range unjoin(err) {
		line := v.Line
		var ruleErr *policy.RuleError
		if errors.As(err, &ruleErr) {
			line = lines[ruleErr.Rule]
		}
		r.problem(line, "routes: %v", err)
	}
}

// unjoin returns the errors that errors.Join has joined.
func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// rule reads one route. By default it requires a credential.
func (r *reader) rule(v value, cfg *Config) policy.Rule {
	rule := policy.Rule{Route: authz.Route{
		Auth: authz.AuthRequired, Errors: cfg.Errors, ForwardCredentials: cfg.ForwardCredentials,
	}}
	before := len(r.problems)
	r.mapping(v, append(r.terms(&rule.Route), fields{
		{"name", r.checked(&rule.Route.Name, validRouteName)},
		{"path", r.pattern(&rule, cfg.Paths)},
		{"methods", r.list(&rule.Methods, validMethod)},
		{"hosts", r.list(&rule.Hosts, validHost)},
	}...))
	if len(r.problems) == before && rule.Route.Path == "" {
		r.problem(v.Line, "routes: a route needs a path; `path: /` is for all")
	}
	// No two routes can have the same, see policy.
	rule.Route.Identity = fmt.Sprintf("%s %q %q", rule.Route.Path, slices.Sorted(slices.Values(rule.Methods)), slices.Sorted(slices.Values(rule.Hosts)))
	r.contradictions(v, &rule.Route)
	if rule.Route.Preflight && len(rule.Methods) > 0 && !slices.Contains(rule.Methods, "OPTIONS") {
		r.problem(v.Line, "routes.preflight: a preflight is OPTIONS, which methods does not name")
	}
	return rule
}

// fallback reads the route of requests that match no other.
func (r *reader) fallback(v value, cfg *Config) {
	r.mapping(v, r.terms(&cfg.Default))
	r.contradictions(v, &cfg.Default)
}

// terms are the keys that say what a route requires of a request.
func (r *reader) terms(route *authz.Route) fields {
	var scopes []string
	return fields{
		{"auth", choice(r, &route.Auth, authModes)},
		{"credentials", func(v value) { r.credentialKinds(v, route) }},
		{"scopes", func(v value) {
			r.list(&scopes, validScope)(v)
			route.Scopes, _ = authz.ParseScopes(scopes)
		}},
		{"project", r.text(&route.Project)},
		{"errors", choice(r, &route.Errors, errorStyles)},
		{"rate", r.limitSpec(&route.Rate, &route.RateShadow)},
		{"preflight", r.boolean(&route.Preflight)},
		{"forward_credentials", r.boolean(&route.ForwardCredentials)},
	}
}

func (r *reader) credentialKinds(v value, route *authz.Route) {
	r.each(v, func(element value) {
		var kind authz.AuthMethod
		if choice(r, &kind, authMethods)(element); kind != authz.AuthMethodNone {
			route.AcceptAuth = append(route.AcceptAuth, kind)
		}
	})
}

// contradictions reports requirements that have no effect on a route without credentials.
func (r *reader) contradictions(v value, route *authz.Route) {
	if route.Auth == authz.AuthNone && (len(route.Scopes.Names()) > 0 || route.Project != "" || len(route.AcceptAuth) > 0) {
		r.problem(v.Line, "%s: with `auth: none` scopes, project and credentials have no effect", v.name)
	}
}

func (r *reader) pattern(rule *policy.Rule, rules authz.PathRules) field {
	return func(v value) {
		text, ok := r.readText(v)
		if !ok {
			return
		}
		pattern, err := authz.ParsePattern(text, rules)
		if err != nil {
			r.refuse(v, err)
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

// validMethod requires upper case: methods are case-sensitive (RFC 9110 section 9.1), and
// a route for "get" would never match.
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
