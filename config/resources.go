package config

import (
	"errors"
	"strings"

	"keyward/authz"
	"keyward/config/strictyaml"
	"keyward/policy"
)

// resourceMetadata reads what all protected resources have in common (RFC 9728).
// Their authorization servers are those that issue the tokens, unless the
// section names others.
func (d *decoder) resourceMetadata(v strictyaml.Value, cfg *Config) {
	api, before := &cfg.ResourceMetadata, d.Count()
	d.Mapping(v, strictyaml.Fields{
		{"url", func(v strictyaml.Value) { d.apiOrigin(v, &api.URL) }},
		{"authorization_servers", d.List(&api.AuthorizationServers, validAuthorizationServer)},
		{"name", d.Checked(&api.Name, validTitle)},
		{"documentation", d.Checked(&api.Documentation, validOptionalURL)},
	})
	if d.Count() > before {
		return
	}
	if api.URL == "" {
		if len(api.AuthorizationServers) > 0 || api.Name != "" || api.Documentation != "" {
			d.Warn(v.Line, "%s: of no effect without a url", v.Name)
		}
		return
	}
	if len(api.AuthorizationServers) == 0 {
		if cfg.OwnIssuer() && strings.HasPrefix(cfg.Issuer.URL, "https://") {
			api.AuthorizationServers = append(api.AuthorizationServers, cfg.Issuer.URL)
		}
		for i := range cfg.JWT {
			if issuer := cfg.JWT[i].Issuer; strings.HasPrefix(issuer, "https://") && validAuthorizationServer(issuer) == nil {
				api.AuthorizationServers = append(api.AuthorizationServers, issuer)
			}
		}
	}
	if len(api.AuthorizationServers) == 0 {
		d.Report(v.Line, "%s: authorization_servers are needed: neither issuer.url nor an issuer of jwt is an https URL", v.Name)
	}
	if !cfg.Sources.Schemes.Contains(authz.SchemeBearer) {
		d.Report(v.Line, "%s: clients send tokens as credentials.bearer, which is off", v.Name)
	}
}

// Resources are the identifiers of the protected resources (RFC 9728), for which clients ask
// for tokens.
func (c *Config) Resources() []string { return c.ResourceMetadata.Identifiers(c.ResourceDocuments) }

// apiOrigin reads an origin whose host is one that requests can have, since
// challenges quote it.
func (d *decoder) apiOrigin(v strictyaml.Value, to *string) {
	var origin string
	d.origin(v, &origin)
	if _, host, _ := strings.Cut(origin, "://"); origin != "" && !(&policy.Rule{}).AppliesTo(host) {
		d.Refuse(v, errOrigin)
		return
	}
	*to = origin
}

// checkResource reports a route that cannot be a protected resource of its own.
func (d *decoder) checkResource(v strictyaml.Value, rule *policy.Rule, cfg *Config) {
	if !rule.Resource {
		return
	}
	if err := cfg.ResourceMetadata.Problem(rule); err != nil {
		d.Report(v.Line, "routes.resource_metadata: %v", err)
	}
}

// validAuthorizationServer accepts an issuer identifier (RFC 8414 section 2).
func validAuthorizationServer(text string) error {
	if text == "" {
		return errors.New("want the issuer identifier of an authorization server, an https URL")
	}
	return validIssuerURL(text)
}
