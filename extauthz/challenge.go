package extauthz

import (
	"net/http"
	"slices"

	"keyward/authz"
)

// Challenge configures the WWW-Authenticate of denials (RFC 9110 section
// 11.6.1).
type Challenge struct {
	None    bool            // send no such header
	Realm   string          // visible ASCII without quote and backslash
	Schemes authz.SchemeSet // the schemes that are enabled
	// TokenSchemes are further schemes; "" has no challenge.
	TokenSchemes []string
}

// challenges has the challenge of each scheme of Authorization. A function
// returns "" if the scheme has no challenge for the denial.
var challenges = [authz.CredentialSchemeCount]func(*Challenge, *authz.Decision) string{
	authz.SchemeBearer: (*Challenge).bearer,
	authz.SchemeBasic:  (*Challenge).basic,
}

// value returns the challenge of a 401, and of a 403 that more scopes would
// turn into an allow (RFC 6750 section 3). It is one header, since nginx drops
// a second one.
func (c *Challenge) value(d *authz.Decision) string {
	status := d.Status()
	if c.None || status != http.StatusUnauthorized && d.Reason != authz.InsufficientScope {
		return ""
	}
	schemes := c.Schemes
	others := status == http.StatusUnauthorized && slices.ContainsFunc(c.TokenSchemes, isNamed)
	if schemes == 0 && !others { // a 401 must have a challenge
		schemes = authz.NewSchemeSet(authz.SchemeBearer)
	}
	value := ""
	add := func(one string) {
		if value != "" && one != "" {
			value += ", "
		}
		value += one
	}
	for scheme, challenge := range challenges {
		if challenge != nil && schemes.Contains(authz.CredentialScheme(scheme)) {
			add(challenge(c, d))
		}
	}
	if others {
		for _, name := range c.TokenSchemes {
			if isNamed(name) {
				add(name + ` realm="` + c.Realm + `"`)
			}
		}
	}
	return value
}

func isNamed(scheme string) bool { return scheme != "" }

func (c *Challenge) basic(d *authz.Decision) string {
	if d.Status() != http.StatusUnauthorized {
		return ""
	}
	return `Basic realm="` + c.Realm + `", charset="UTF-8"`
}

func (c *Challenge) bearer(d *authz.Decision) string {
	challenge := `Bearer realm="` + c.Realm + `"`
	switch d.Reason {
	case authz.NoCredential, authz.UnsupportedCredential, authz.WrongPassword:
		// RFC 6750 section 3.1: a request without a token gets no error code.
	case authz.MalformedCredential, authz.AmbiguousCredential:
		challenge += `, error="invalid_request", error_description="` + detail(d.Reason) + `"`
	case authz.InsufficientScope:
		challenge += `, error="insufficient_scope"`
		if d.Route != nil {
			challenge += `, scope="` + d.Route.NamedScopes().String() + `"`
		}
	default:
		challenge += `, error="invalid_token", error_description="` + detail(d.Reason) + `"`
	}
	return challenge + resourceParameters(d)
}

// resourceParameters returns the parameters by which a client learns where to
// get a token (RFC 9728 section 5.1), and with which scopes (RFC 6750 section
// 3). It returns "" for a route that is not part of a protected resource. The
// texts need no escaping: scopes and URLs have neither quote nor backslash.
func resourceParameters(d *authz.Decision) string {
	if d.Route == nil || d.Route.ResourceMetadata == "" {
		return ""
	}
	metadata := `, resource_metadata="` + d.Route.ResourceMetadata + `"`
	if scopes := d.Route.NamedScopes().String(); scopes != "" && d.Reason != authz.InsufficientScope {
		return `, scope="` + scopes + `"` + metadata
	}
	return metadata
}
