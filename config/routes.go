package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/config/grammar"
	"keyward/config/strictyaml"
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
func (d *decoder) routes(v strictyaml.Value, cfg *Config) {
	var lines []int
	d.Each(v, func(element strictyaml.Value) {
		before := d.Count()
		if rule := d.rule(element, cfg); d.Count() == before {
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
		d.Report(line, "routes: %v", err)
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
func (d *decoder) rule(v strictyaml.Value, cfg *Config) policy.Rule {
	rule := policy.Rule{Route: authz.Route{
		Auth: authz.AuthRequired, Errors: cfg.Errors, ForwardCredentials: cfg.ForwardCredentials,
	}}
	before := d.Count()
	d.Mapping(v, append(d.routeKeys(&rule.Route), strictyaml.Fields{
		{"name", d.Checked(&rule.Route.Name, validRouteName)},
		{"path", d.pattern(&rule, cfg.Paths)},
		{"methods", d.List(&rule.Methods, validMethod)},
		{"hosts", d.List(&rule.Hosts, validHost)},
		{"resource_metadata", d.Boolean(&rule.Resource)},
	}...))
	if d.Count() == before && rule.Route.Path == "" {
		d.Report(v.Line, "routes: a route needs a path; `path: /` is for all")
	}
	// No two routes can have the same, see policy.
	rule.Route.Identity = fmt.Sprintf("%s %q %q", rule.Route.Path, slices.Sorted(slices.Values(rule.Methods)), slices.Sorted(slices.Values(rule.Hosts)))
	d.checkOpenRoute(v, &rule.Route)
	d.checkResource(v, &rule, cfg)
	if rule.Route.Preflight && len(rule.Methods) > 0 && !slices.Contains(rule.Methods, "OPTIONS") {
		d.Report(v.Line, "routes.preflight: a preflight is OPTIONS, which methods does not name")
	}
	return rule
}

// defaultRoute reads the route of requests that match no other.
func (d *decoder) defaultRoute(v strictyaml.Value, cfg *Config) {
	d.Mapping(v, d.routeKeys(&cfg.Default))
	d.checkOpenRoute(v, &cfg.Default)
}

// routeKeys are the keys that say what a route requires of a request.
func (d *decoder) routeKeys(route *authz.Route) strictyaml.Fields {
	var scopes, scopesAny []string
	return strictyaml.Fields{
		{"auth", strictyaml.Choice(d.Decoder, &route.Auth, authModes)},
		{"credentials", func(v strictyaml.Value) { d.acceptAuth(v, route) }},
		{"scopes", func(v strictyaml.Value) {
			d.List(&scopes, validScope)(v)
			route.Scopes, _ = authz.ParseScopes(scopes)
		}},
		{"scopes_any", func(v strictyaml.Value) {
			d.List(&scopesAny, validScope)(v)
			route.ScopesAny, _ = authz.ParseScopes(scopesAny)
			d.checkScopesAny(v, scopes, scopesAny)
		}},
		{"project", d.Text(&route.Project)},
		{"errors", strictyaml.Choice(d.Decoder, &route.Errors, errorStyles)},
		{"rate", d.limitSpec(&route.Rate, &route.RateShadow)},
		{"preflight", d.Boolean(&route.Preflight)},
		{"forward_credentials", d.Boolean(&route.ForwardCredentials)},
	}
}

// checkScopesAny reports a list that is always satisfied, since one of its
// scopes is needed anyway.
func (d *decoder) checkScopesAny(v strictyaml.Value, all, anyOf []string) {
	for i, scope := range anyOf {
		if scope != "" && slices.Contains(all, scope) {
			d.Report(v.Element(i).Line, "%s: of no effect, since scopes has %s; remove it from one of the two", v.Name, d.Shown(v.Element(i)))
			return
		}
	}
}

func (d *decoder) acceptAuth(v strictyaml.Value, route *authz.Route) {
	d.Each(v, func(element strictyaml.Value) {
		var kind authz.AuthMethod
		if strictyaml.Choice(d.Decoder, &kind, authMethods)(element); kind != authz.AuthMethodNone {
			route.AcceptAuth = append(route.AcceptAuth, kind)
		}
	})
}

// checkOpenRoute reports requirements that have no effect on a route without
// credentials.
func (d *decoder) checkOpenRoute(v strictyaml.Value, route *authz.Route) {
	if route.Auth == authz.AuthNone && (len(route.NamedScopes().Names()) > 0 || route.Project != "" || len(route.AcceptAuth) > 0) {
		d.Report(v.Line, "%s: with `auth: none` scopes, scopes_any, project and credentials have no effect; remove them, or set `auth: required`", v.Name)
	}
}

func (d *decoder) pattern(rule *policy.Rule, rules urlpath.Rules) strictyaml.Field {
	return func(v strictyaml.Value) {
		text, ok := d.ReadText(v)
		if !ok {
			return
		}
		pattern, err := urlpath.ParsePattern(text, rules)
		if err != nil {
			d.Refuse(v, err)
			return
		}
		if urlpath.HasBraces(text) {
			if rule.Route.Template, err = urlpath.ParseTemplate(text, rules); err != nil {
				d.Refuse(v, err)
				return
			}
		}
		d.warnOtherTemplates(v, text)
		rule.Pattern, rule.Route.Path = pattern, text
	}
}

// warnOtherTemplates warns of segments that other programs take for a variable.
func (d *decoder) warnOtherTemplates(v strictyaml.Value, text string) {
	for segment := range strings.SplitSeq(text, "/") {
		if segment == "*" || segment == "**" || len(segment) > 1 && (segment[0] == ':' || segment[0] == '<' && strings.HasSuffix(segment, ">")) {
			d.Warn(v.Line, "%s: the segment %q only matches this text; {subject} is for the caller's subject, and a path matches everything below it", v.Name, segment)
		}
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
	case !grammar.IsWord(method, "-_"):
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
