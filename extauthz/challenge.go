package extauthz

import (
	"net/http"

	"keyward/authz"
)

// Challenge says what WWW-Authenticate a denial carries (RFC 9110 section 11.6.1).
type Challenge struct {
	None    bool            // no header at all
	Realm   string          // visible ASCII without quote and backslash
	Schemes authz.SchemeSet // that are enabled
}

// challenges has the challenge of each scheme that Authorization carries. One
// returns "" where the scheme has nothing to say of the denial.
var challenges = [authz.CredentialSchemeCount]func(*Challenge, *authz.Decision) string{
	authz.SchemeBearer: (*Challenge).bearer,
	authz.SchemeBasic:  (*Challenge).basic,
}

// value is the challenge of a 401, and of a 403 that more scopes would lift
// (RFC 6750 section 3), on one line since nginx drops a second one.
func (c *Challenge) value(d *authz.Decision) string {
	status := d.Status()
	if c.None || status != http.StatusUnauthorized && d.Reason != authz.InsufficientScope {
		return ""
	}
	schemes := c.Schemes
	if schemes == 0 { // a 401 must have a challenge
		schemes = authz.NewSchemeSet(authz.SchemeBearer)
	}
	value := ""
	for scheme, challenge := range challenges {
		if challenge == nil || !schemes.Contains(authz.CredentialScheme(scheme)) {
			continue
		}
		switch one := challenge(c, d); {
		case value == "":
			value = one
		case one != "":
			value += ", " + one
		}
	}
	return value
}

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
