package verifier

import (
	"slices"
	"strings"
	"time"

	"keyward/authz"
	"keyward/strictjson"
)

// jwtClaims is what of a token's claims says who it stands for, and when.
type jwtClaims struct {
	subject             string
	jti                 string // "": none
	scopes              authz.Scopes
	hasScopes           bool
	expires             time.Time // whole seconds
	notBefore, issuedAt time.Time // zero: not told
}

// parseClaims reads the payload of a token.
func parseClaims(payload []byte) (map[string]any, bool) {
	members, err := strictjson.Object(payload, strictjson.Limits{Depth: maxDepth, Members: maxMembers})
	return members, err == nil
}

// read takes from the members what is needed and holds them to the rules, all
// but the expiry. A claim that is there must be of its type: null is not absent.
func (i *jwtIssuer) read(members map[string]any, now time.Time) (jwtClaims, bool) {
	var c jwtClaims
	if i.Method == authz.MethodOAuth && !hasAccessTokenClaims(members) {
		return jwtClaims{}, false
	}
	if !c.readTimes(members) || !i.timely(&c, now) || !i.isAudience(members) {
		return jwtClaims{}, false
	}
	if !optionalText(members, "sub", new(string)) || !optionalText(members, "jti", &c.jti) {
		return jwtClaims{}, false
	}
	subject, _ := i.subject.in(members)
	c.subject, _ = subject.(string)
	if !isClaimText(c.subject) {
		return jwtClaims{}, false
	}
	var scope any
	if scope, c.hasScopes = i.scope.in(members); c.hasScopes {
		var ok bool
		if c.scopes, ok = parseScopeClaim(scope); !ok {
			return jwtClaims{}, false
		}
	}
	return c, true
}

// hasAccessTokenClaims tells whether the claims are there that RFC 9068
// section 2.2 requires. The types of the others are looked at by whoever reads them.
func hasAccessTokenClaims(members map[string]any) bool {
	for _, name := range [...]string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} {
		if _, there := members[name]; !there {
			return false
		}
	}
	var client string
	return optionalText(members, "client_id", &client)
}

// optionalText reads a claim that is text fit to name something, where it is there at all.
func optionalText(members map[string]any, name string, into *string) bool {
	v, there := members[name]
	if !there {
		return true
	}
	*into, _ = v.(string)
	return isClaimText(*into)
}

func (c *jwtClaims) readTimes(members map[string]any) bool {
	exp, ok := numericDate(members["exp"])
	if !ok {
		return false
	}
	// golang-jwt cuts fractions off too, and a cached token must end when it would.
	c.expires = exp.Truncate(time.Second)
	return optionalDate(members, "nbf", &c.notBefore) && optionalDate(members, "iat", &c.issuedAt)
}

// timely holds the times to the clock and to the longest life a token may have.
func (i *jwtIssuer) timely(c *jwtClaims, now time.Time) bool {
	latest := now.Add(i.Leeway)
	if c.notBefore.After(latest) || c.issuedAt.After(latest) || c.expires.After(now.Add(i.MaxLifetime)) {
		return false
	}
	return c.issuedAt.IsZero() || !c.expires.After(c.issuedAt.Add(i.MaxLifetime))
}

// isAudience tells whether the token is for us: aud is a string or a list of
// strings and nothing else, with one of our names among them where we have any.
func (i *jwtIssuer) isAudience(members map[string]any) bool {
	aud, there := members["aud"]
	found := len(i.Audiences) == 0
	switch aud := aud.(type) {
	case string:
		return found || slices.Contains(i.Audiences, aud)
	case []any:
		for _, v := range aud {
			name, ok := v.(string)
			if !ok {
				return false
			}
			found = found || slices.Contains(i.Audiences, name)
		}
		return found
	default:
		return found && !there
	}
}

// parseScopeClaim reads scopes in one string, separated by spaces (RFC 8693
// section 4.2), or in a list of strings, as some issuers write scp and permissions.
func parseScopeClaim(v any) (authz.Scopes, bool) {
	var names []string
	switch v := v.(type) {
	case string:
		names = strings.FieldsFunc(strings.Clone(v), func(r rune) bool { return r == ' ' })
	case []any:
		for _, each := range v {
			name, _ := each.(string) // "" is no scope
			names = append(names, strings.Clone(name))
		}
	default:
		return authz.Scopes{}, false
	}
	scopes, err := authz.ParseScopes(names)
	return scopes, err == nil
}

// claimPath is where a claim stands: a member of that very name, or else a
// member of nested objects.
type claimPath struct {
	name   string
	nested []string // nil: no dot in the name
}

func newClaimPath(name, usual string) claimPath {
	if name == "" {
		name = usual
	}
	p := claimPath{name: name}
	if parts := strings.Split(name, "."); len(parts) > 1 {
		p.nested = parts
	}
	return p
}

// in returns the claim, where it is there. What stands on the way to a nested
// one and is no object is as wrong as a claim of the wrong type: nil.
func (p claimPath) in(members map[string]any) (any, bool) {
	v, there := members[p.name]
	if there || p.nested == nil {
		return v, there
	}
	v = members
	for _, name := range p.nested {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, true
		}
		if v, there = object[name]; !there {
			return nil, false
		}
	}
	return v, true
}

func isClaimText(s string) bool { return authz.IsClaimText(s) }
