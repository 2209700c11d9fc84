package extauthz

import (
	"net/http"

	"keyward/authz"
)

// Challenge says what WWW-Authenticate a denial carries (RFC 9110 section 11.6.1).
type Challenge struct {
	None   bool   // no header at all
	Realm  string // visible ASCII without quote and backslash
	Bearer bool   // the schemes that are enabled
	Basic  bool
}

// value is the challenge of a 401, and of a 403 that more scopes would lift
// (RFC 6750 section 3), on one line since nginx drops a second one.
func (c *Challenge) value(d *authz.Decision) string {
	status := d.Status()
	if c.None || status != http.StatusUnauthorized && d.Reason != authz.InsufficientScope {
		return ""
	}
	var bearer, basic string
	if c.Bearer || !c.Basic {
		bearer = c.bearer(d)
	}
	if c.Basic && status == http.StatusUnauthorized {
		basic = `Basic realm="` + c.Realm + `", charset="UTF-8"`
	}
	if bearer == "" || basic == "" {
		return bearer + basic
	}
	return bearer + ", " + basic
}

func (c *Challenge) bearer(d *authz.Decision) string {
	challenge := `Bearer realm="` + c.Realm + `"`
	switch d.Reason {
	case authz.NoCredential, authz.UnsupportedCredential, authz.WrongPassword:
		// RFC 6750 section 3.1: who showed no token is told of no error.
		return challenge
	case authz.MalformedCredential, authz.AmbiguousCredential:
		return challenge + `, error="invalid_request", error_description="` + detail(d.Reason) + `"`
	case authz.InsufficientScope:
		challenge += `, error="insufficient_scope"`
		if d.Route != nil {
			challenge += `, scope="` + d.Route.Scopes.String() + `"`
		}
		return challenge
	default:
		return challenge + `, error="invalid_token", error_description="` + detail(d.Reason) + `"`
	}
}
