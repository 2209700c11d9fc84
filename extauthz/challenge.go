package extauthz

import (
	"fmt"
	"net/http"
	"strings"

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
	var schemes []string
	if c.Bearer || !c.Basic {
		schemes = append(schemes, c.bearer(d))
	}
	if c.Basic && status == http.StatusUnauthorized {
		schemes = append(schemes, fmt.Sprintf(`Basic realm="%s", charset="UTF-8"`, c.Realm))
	}
	return strings.Join(schemes, ", ")
}

func (c *Challenge) bearer(d *authz.Decision) string {
	challenge := fmt.Sprintf(`Bearer realm="%s"`, c.Realm)
	switch d.Reason {
	case authz.NoCredential, authz.UnsupportedCredential, authz.WrongPassword:
		// RFC 6750 section 3.1: who showed no token is told of no error.
		return challenge
	case authz.MalformedCredential, authz.AmbiguousCredential:
		return challenge + fmt.Sprintf(`, error="invalid_request", error_description="%s"`, detail(d.Reason))
	case authz.InsufficientScope:
		challenge += `, error="insufficient_scope"`
		if d.Route != nil {
			challenge += fmt.Sprintf(`, scope="%s"`, d.Route.Scopes)
		}
		return challenge
	default:
		return challenge + fmt.Sprintf(`, error="invalid_token", error_description="%s"`, detail(d.Reason))
	}
}
