package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"keyward/authz"
)

// What the configuration has names for and this version does nothing about. An
// option that did nothing in silence would be taken for one that protects.
const (
	onlyAPIKeys = "checks API keys only"
	onlyProblem = "answers in style problem only"
	noUsage     = "keeps no account of usage"
	noLimits    = "limits no rates"
	noHTTP      = "listens on gRPC only"
)

// notYet reads a key of later work: empty, or as off says, it is fine.
func (r *reader) notYet(thisVersion string, off ...string) field {
	return func(v value) {
		empty := v.Kind != yaml.ScalarNode && len(v.Content) == 0 || v.Kind == yaml.ScalarNode && !isNull(v.Node) && v.Value == ""
		if empty || v.Kind == yaml.ScalarNode && slices.Contains(off, v.Value) {
			return
		}
		r.problem(v.Line, "%s: not in this version: this version %s", v.name, thisVersion)
	}
}

func (r *reader) rateLimits() field {
	return r.section(fields{
		{"store", r.notYet(noLimits, "memory")},
		{"api_key", r.notYet(noLimits)},
		{"basic", r.notYet(noLimits)},
		{"oauth", r.notYet(noLimits)},
		{"jwt", r.notYet(noLimits)},
	})
}

// trustedProxies are those of the HTTP listener, which is still to come. Who
// has them in the file already needs not take them out.
func (r *reader) trustedProxies(v value) {
	before := len(r.problems)
	r.each(v, func(element value) { r.readText(element) })
	if len(r.problems) == before && len(v.Content) > 0 {
		r.warn(v.Line, "trusted_proxies: of no effect yet: this version %s", noHTTP)
	}
}

// errorStyle reads the name of a style of denials.
func (r *reader) errorStyle(to *authz.ErrorStyle) field {
	return func(v value) {
		switch v.Value {
		case "problem":
			*to = authz.StyleProblem
		case "generic", "halo", "halfred":
			r.notYet(onlyProblem)(v)
		default:
			r.noneOf(v, []string{"problem", "generic", "halo", "halfred"})
		}
	}
}

// credentialKind reads the name of a kind of credential that a route accepts.
func (r *reader) credentialKind(to *authz.Method) field {
	return func(v value) {
		switch v.Value {
		case authz.MethodAPIKey.String():
			*to = authz.MethodAPIKey
		case authz.MethodBasic.String(), authz.MethodJWT.String(), authz.MethodOAuth.String():
			r.problem(v.Line, "%s: %s is not in this version: this version %s", v.name, v.Value, onlyAPIKeys)
		default:
			r.noneOf(v, []string{"api_key", "basic", "jwt", "oauth"})
		}
	}
}
