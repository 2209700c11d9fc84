package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"keyward/authz"
	"keyward/config/strictyaml"
)

// subjectSource is a source of subjects, which names them independently of
// other sources.
type subjectSource struct {
	name   string // an issuer and an introspection server with the same name are one source
	shown  string
	method string // the value of x-auth-method
	kinds  []authz.AuthMethod
	users  bool // its subjects are the users of keys
}

// warnSharedSubjects warns if the upstream cannot distinguish the subjects of
// two sources: OpenID Connect Core makes them unique within their issuer only,
// so alice of the weakest issuer would be alice of all.
func (d *decoder) warnSharedSubjects(root strictyaml.Value, cfg *Config) {
	d.warnSubjectPaths(root, cfg)
	has := func(f authz.IdentityAttribute) bool {
		for _, field := range cfg.IdentityHeaders {
			if field == f {
				return true
			}
		}
		return false
	}
	if !has(authz.AttributeSubject) || has(authz.AttributeIssuer) {
		return
	}
	alike := indistinguishable(subjectSources(cfg), has(authz.AttributeAuthMethod))
	if len(alike) < 2 {
		return
	}
	d.Warn(lineOf(root.Node, "introspection", "jwt"), "no identity header distinguishes the subjects of %s: the upstream takes alice of one for alice of another; "+
		"add x-auth-issuer: issuer to identity_headers, and have the upstream check it", strings.Join(alike, ", "))
}

// accepts reports whether the route accepts one of the kinds of credential.
func accepts(route *authz.Route, kinds []authz.AuthMethod) bool {
	return len(route.AcceptAuth) == 0 || slices.ContainsFunc(kinds, func(k authz.AuthMethod) bool { return slices.Contains(route.AcceptAuth, k) })
}

// subjectSources returns those of a configuration. Keys and passwords have the
// same users.
func subjectSources(cfg *Config) []subjectSource {
	var all []subjectSource
	if cfg.Keys.File != "" || cfg.Users.File != "" {
		all = append(all, subjectSource{shown: "keys and users", kinds: []authz.AuthMethod{authz.AuthMethodAPIKey, authz.AuthMethodBasic}, users: true})
	}
	for i := range cfg.JWT {
		t := &cfg.JWT[i]
		all = append(all, subjectSource{t.Name, fmt.Sprintf("jwt %q", t.Name), t.AuthMethod.String(), []authz.AuthMethod{t.AuthMethod}, t.Users})
	}
	for i := range cfg.Introspection {
		all = append(all, subjectSource{cfg.Introspection[i].Name, fmt.Sprintf("introspection %q", cfg.Introspection[i].Name), authz.AuthMethodOAuth.String(), []authz.AuthMethod{authz.AuthMethodOAuth}, false})
	}
	return all
}

// warnSubjectPaths warns of a path with {subject} that the subjects of two
// sources may use: alice of one reaches the path of alice of the other, and no
// header tells the upstream. Issuers with users: true have the users of keys.
func (d *decoder) warnSubjectPaths(root strictyaml.Value, cfg *Config) {
	for i := range cfg.Routes {
		route := &cfg.Routes[i].Route
		if route.Template == nil {
			continue
		}
		var sources, names []string
		for _, source := range subjectSources(cfg) {
			name := source.name
			if source.users {
				name = "" // that of keys and users
			}
			if accepts(route, source.kinds) && !slices.Contains(names, name) {
				names, sources = append(names, name), append(sources, source.shown)
			}
		}
		if len(sources) > 1 {
			d.Warn(lineOf(root.Node, "routes"), "routes: route %s: {subject} is a subject of %s: alice of one reaches the path of alice of another; "+
				"limit the route to one of them by credentials, or set users: true where the issuer's subjects are your users", route, strings.Join(sources, ", "))
		}
	}
}

// indistinguishable returns the names of the sources whose subjects cannot be
// distinguished. If byMethod, x-auth-method distinguishes them.
func indistinguishable(all []subjectSource, byMethod bool) []string {
	var names []string
	for _, one := range all {
		if slices.ContainsFunc(all, func(other subjectSource) bool {
			return other.name != one.name && (!byMethod || other.method == one.method)
		}) {
			names = append(names, one.shown)
		}
	}
	return names
}

// lineOf returns the line of the first of the keys that the mapping has, 0 if
// it has none.
func lineOf(n *yaml.Node, keys ...string) int {
	for _, wanted := range keys {
		for key := range strictyaml.Pairs(n) {
			if key.Value == wanted {
				return key.Line
			}
		}
	}
	return 0
}
