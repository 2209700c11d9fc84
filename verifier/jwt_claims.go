package verifier

import (
	"slices"
	"strings"
	"time"

	"keyward/authz"
	"keyward/chars"
	"keyward/store"
	"keyward/verifier/strictjson"
)

// jwtClaims are the claims that say whom a token stands for, and when.
type jwtClaims struct {
	subject             string // "": the token stands for a client and not for a user
	client              string // "": not given
	jti, sid            string // "": not given
	scopes              authz.Scopes
	hasScopes           bool
	expires             time.Time // whole seconds
	notBefore, issuedAt time.Time // zero: not given
	own                 ownClaims
}

// checkClaims does the cheap checks on the claims, in outline or in full. A
// token that fails here need not have its signature verified. A claim that is
// present must be of its type: null is not absent.
func (i *jwtIssuer) checkClaims(members map[string]any, c *jwtClaims, now time.Time) *Cause {
	if _, bound := members["cnf"]; bound { // RFC 7800; RFC 9449 and RFC 8705 for DPoP and TLS
		return causeSenderConstrained
	}
	if i.AuthMethod == authz.AuthMethodOAuth {
		if cause := checkRequiredClaims(members); cause != nil {
			return cause
		}
	}
	if cause := i.readTimes(c, members, now); cause != nil {
		return cause
	}
	if !i.isAudience(members) {
		return &Cause{RuleAud, i.wantAudience, jsonType(members, "aud")}
	}
	if !optionalText(members, "sub", new(string)) {
		return &Cause{RuleSubject, wantText + " in sub", jsonType(members, "sub")}
	}
	if !optionalText(members, "jti", &c.jti) {
		return &Cause{RuleJti, wantText + ", or none", jsonType(members, "jti")}
	}
	if !optionalText(members, "sid", &c.sid) {
		return &Cause{RuleSid, wantText + ", or none", jsonType(members, "sid")}
	}
	return nil
}

var (
	causeSenderConstrained = &Cause{RuleCnf, "a bearer token", "one that is bound to a key of its sender"}
	causeReserved          = &Cause{RuleSubject, "a subject that does not begin with k_ or c_, as Keyward's own ids do", "one that does"}
)

const wantText = "a plain text of 1 to 255 bytes"

// read returns the claims that are needed, and checks all of them except the
// expiry.
func (i *jwtIssuer) read(members map[string]any, now time.Time) (jwtClaims, *Cause) {
	var c jwtClaims
	if cause := i.checkClaims(members, &c, now); cause != nil {
		return jwtClaims{}, cause
	}
	if i.Own {
		if cause := c.own.read(members); cause != nil {
			return jwtClaims{}, cause
		}
	}
	if cause := i.readSubject(&c, members); cause != nil {
		return jwtClaims{}, cause
	}
	var scope any
	if scope, c.hasScopes = i.scope.lookup(members); c.hasScopes {
		var ok bool
		if c.scopes, ok = parseScopeClaim(scope); !ok {
			return jwtClaims{}, &Cause{RuleScope, "scopes (RFC 6749 section 3.3) in a text or a list in " + i.scope.name, jsonTypeOf(scope)}
		}
	}
	return c, nil
}

// readSubject determines whom the token stands for. A token that has a client
// and no subject, or the client as its subject, is the client's own. Clients
// choose their ids, and a client with the name of a user must not become that
// user (RFC 9068 section 5). Such a token has no subject, unless the operator
// has chosen the claim that is the subject.
func (i *jwtIssuer) readSubject(c *jwtClaims, members map[string]any) *Cause {
	if !optionalText(members, "client_id", &c.client) {
		c.client = "" // of another type, so it names no client
	}
	if c.own.ofClient {
		return c.readClientSubject(members)
	}
	subject, there := i.subject.lookup(members)
	wrong := func(want string) *Cause {
		if !there {
			return &Cause{RuleSubject, want, "none"}
		}
		return &Cause{RuleSubject, want, jsonTypeOf(subject)}
	}
	c.subject, _ = subject.(string)
	if (there || c.client == "") && !chars.IsClaim(c.subject) {
		return wrong(wantText + " in " + i.subject.name)
	}
	if store.ReservedUserName(c.subject) {
		return causeReserved
	}
	if i.subject.name == "sub" && c.subject == c.client && !i.Own { // whose tokens say what the subject is
		c.subject = ""
	}
	if i.Users && c.subject == "" {
		return wrong("a user in " + i.subject.name + ", as users: true says")
	}
	return nil
}

// checkRequiredClaims checks that an access token has the claims that RFC 9068
// section 2.2 requires. Their types are checked where they are read.
func checkRequiredClaims(members map[string]any) *Cause {
	for _, name := range [...]string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} {
		if _, there := members[name]; !there {
			return &Cause{RuleRequired, "the claims of an access token (RFC 9068 section 2.2)", "no " + name}
		}
	}
	if !optionalText(members, "client_id", new(string)) {
		return &Cause{RuleClientID, wantText, jsonType(members, "client_id")}
	}
	return nil
}

// optionalText reads a claim that must be a valid name if it is present.
func optionalText(members map[string]any, name string, into *string) bool {
	v, there := members[name]
	if !there {
		return true
	}
	*into, _ = v.(string)
	return chars.IsClaim(*into)
}

// readTimes reads the times and checks them against the clock and the maximum
// lifetime.
func (i *jwtIssuer) readTimes(c *jwtClaims, members map[string]any, now time.Time) *Cause {
	exp, ok := ParseNumericDate(members["exp"])
	if !ok {
		return &Cause{RuleExp, wantTime, jsonType(members, "exp")}
	}
	// golang-jwt truncates fractions too, and a cached token must end at the
	// same time.
	c.expires = exp.Truncate(time.Second)
	latest := now.Add(i.Leeway)
	switch {
	case !optionalDate(members, "nbf", &c.notBefore):
		return &Cause{RuleNbf, wantTime + ", or none", jsonType(members, "nbf")}
	case !optionalDate(members, "iat", &c.issuedAt):
		return &Cause{RuleIat, wantTime + ", or none", jsonType(members, "iat")}
	case c.notBefore.After(latest):
		return &Cause{RuleNbf, "a time that is not in the future, within leeway", "a later one"}
	case c.issuedAt.After(latest):
		return &Cause{RuleIat, "a time that is not in the future, within leeway", "a later one"}
	case c.expires.After(now.Add(i.MaxLifetime)):
		return &Cause{RuleExp, i.wantLifetime + " from now", "a later one"}
	case !c.issuedAt.IsZero() && c.expires.After(c.issuedAt.Add(i.MaxLifetime)):
		return &Cause{RuleExp, i.wantLifetime + " from iat", "a later one"}
	default:
		return nil
	}
}

const wantTime = "a time in seconds since 1970"

// isAudience reports whether the token is for this server. If aud is present,
// it must be a string or a list of strings. If audiences are configured, one of
// them must be in it. A list that is known only in outline passes, and is
// checked after the signature.
func (i *jwtIssuer) isAudience(members map[string]any) bool {
	aud, there := members["aud"]
	found := len(i.Audiences) == 0
	switch aud := aud.(type) {
	case strictjson.Nested:
		return true
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
// section 4.2), or in a list of strings, as some issuers write scp and
// permissions.
func parseScopeClaim(v any) (authz.Scopes, bool) {
	var names []string
	switch v := v.(type) {
	case string:
		names = strings.FieldsFunc(strings.Clone(v), func(r rune) bool { return r == ' ' })
	case []any:
		for _, each := range v {
			name, _ := each.(string) // "" is not a valid scope
			names = append(names, strings.Clone(name))
		}
	default:
		return authz.Scopes{}, false
	}
	scopes, err := authz.ParseScopes(names)
	return scopes, err == nil
}

// claimPath locates a claim: a member of that exact name, or else a member of
// nested objects.
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

// lookup returns the claim, if it is present. If something on the path to a
// nested claim is not an object, the value is nil, which is of the wrong type
// for every claim.
func (p claimPath) lookup(members map[string]any) (any, bool) {
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
