package verifier

import (
	"encoding/json"
	"slices"
	"time"

	"keyward/authz"
	"keyward/store"
	"keyward/verifier/claims"
	"keyward/verifier/strictjson"
)

// jwtClaims are the claims that say whom a token stands for, and when.
type jwtClaims struct {
	subject             string // "": the token stands for a client and not for a user
	client              string // "": not given
	jti, sid            string // "": not given
	scopes              authz.Scopes
	hasScopes           bool
	expires             time.Time // whole seconds; zero: never
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
	if aud, present := i.audience.Lookup(members); !i.isAudience(aud, present) {
		return &Cause{RuleAud, i.wantAudience, typeOf(aud, present)}
	}
	for n := range i.conditions {
		if v, present, holds := i.conditions[n].Satisfied(members); !holds {
			return &Cause{RuleClaims, i.wantConditions[n], typeOf(v, present)}
		}
	}
	if !i.isSub(members) {
		return &Cause{RuleSubject, claims.WantName + ", in sub", jsonType(members, "sub")}
	}
	if !claims.OptionalName(members, "jti", &c.jti) {
		return &Cause{RuleJti, claims.WantName + ", or none", jsonType(members, "jti")}
	}
	if !claims.OptionalName(members, "sid", &c.sid) {
		return &Cause{RuleSid, claims.WantName + ", or none", jsonType(members, "sid")}
	}
	return nil
}

// isSub reports whether sub is absent or a name. If another claim is the
// subject, it may be another number too, or empty: Cloudflare Access has an
// empty sub in the tokens of programs.
func (i *jwtIssuer) isSub(members map[string]any) bool {
	sub := members["sub"]
	if _, isNumber := sub.(json.Number); (isNumber || sub == "") && !i.subject.Is("sub") {
		return true
	}
	return claims.OptionalName(members, "sub", new(string))
}

var (
	causeSenderConstrained = &Cause{RuleCnf, "a bearer token", "one that is bound to a key of its sender"}
	causeReserved          = &Cause{RuleSubject, "a subject that does not begin with k_ or c_, as Keyward's own ids do", "one that does"}
)

// wantText is what the names in an introspection response must be.
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
	if cause := i.readScopes(&c, members); cause != nil {
		return jwtClaims{}, cause
	}
	return c, nil
}

// readScopes reads the scopes of all scope claims. scope is defined (RFC 8693
// section 4.2), and must have scopes only. The others may have the names of
// roles and groups beside them.
func (i *jwtIssuer) readScopes(c *jwtClaims, members map[string]any) *Cause {
	var granted []string
	for _, path := range i.scopes {
		v, present := path.Lookup(members)
		if !present {
			continue
		}
		names, ok := claims.ScopeNames(v, path.Is("scope"))
		if !ok {
			return &Cause{RuleScope, "scopes (RFC 6749 section 3.3) in a text or a list in " + path.String(), jsonTypeOf(v)}
		}
		granted, c.hasScopes = append(granted, names...), true
	}
	var err error
	if c.scopes, err = authz.ParseScopes(granted); err != nil { // claims.ScopeNames has checked each
		return &Cause{RuleScope, "scopes (RFC 6749 section 3.3)", "other names"}
	}
	return nil
}

// readSubject determines whom the token stands for. A token that has a client
// and no subject, or the client as its subject, is the client's own. Clients
// choose their ids, and a client with the name of a user must not become that
// user (RFC 9068 section 5). Such a token has no subject, unless the operator
// has chosen the claim that is the subject.
func (i *jwtIssuer) readSubject(c *jwtClaims, members map[string]any) *Cause {
	if !claims.OptionalName(members, "client_id", &c.client) {
		c.client = "" // of another type, so it names no client
	}
	if c.own.ofClient {
		return c.readClientSubject(members)
	}
	v, present := i.subject.Lookup(members)
	subject, isName := claims.Name(v)
	if (present || c.client == "") && !isName {
		return &Cause{RuleSubject, claims.WantName + ", in " + i.subject.String(), typeOf(v, present)}
	}
	if store.ReservedUserName(subject) {
		return causeReserved
	}
	if i.subject.Is("sub") && subject == c.client && !i.Own { // whose tokens say what the subject is
		subject = ""
	}
	if i.Users && subject == "" {
		return &Cause{RuleSubject, "a user in " + i.subject.String() + ", as users: true says", typeOf(v, present)}
	}
	c.subject = subject
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
	if !claims.OptionalName(members, "client_id", new(string)) {
		return &Cause{RuleClientID, claims.WantName, jsonType(members, "client_id")}
	}
	return nil
}

// readTimes reads the times and checks them against the clock and the maximum
// lifetime.
func (i *jwtIssuer) readTimes(c *jwtClaims, members map[string]any, now time.Time) *Cause {
	exp, hasExp := members["exp"]
	if hasExp || !i.OptionalExp {
		at, ok := claims.ParseNumericDate(exp)
		if !ok {
			return &Cause{RuleExp, wantTime, typeOf(exp, hasExp)}
		}
		// golang-jwt truncates fractions too, and a cached token must end at the
		// same time.
		c.expires = at.Truncate(time.Second)
	}
	latest := now.Add(i.Leeway)
	switch {
	case !claims.OptionalDate(members, "nbf", &c.notBefore):
		return &Cause{RuleNbf, wantTime + ", or none", jsonType(members, "nbf")}
	case !claims.OptionalDate(members, "iat", &c.issuedAt):
		return &Cause{RuleIat, wantTime + ", or none", jsonType(members, "iat")}
	case c.notBefore.After(latest):
		return &Cause{RuleNbf, "a time that is not in the future, within leeway", "a later one"}
	case c.issuedAt.After(latest):
		return &Cause{RuleIat, "a time that is not in the future, within leeway", "a later one"}
	default:
		return i.boundLifetime(c, now)
	}
}

// boundLifetime checks that the token is not valid for too long. One without exp
// ends when the maximum lifetime has passed since it was issued; without iat too
// it does not end.
func (i *jwtIssuer) boundLifetime(c *jwtClaims, now time.Time) *Cause {
	latest := c.issuedAt.Truncate(time.Second).Add(i.MaxLifetime)
	switch {
	case c.expires.IsZero() && c.issuedAt.IsZero():
		return nil
	case c.expires.IsZero():
		c.expires = latest
		return nil
	case c.expires.After(now.Add(i.MaxLifetime)):
		return &Cause{RuleExp, i.wantLifetime + " from now", "a later one"}
	case !c.issuedAt.IsZero() && c.expires.After(c.issuedAt.Add(i.MaxLifetime)):
		return &Cause{RuleExp, i.wantLifetime + " from iat", "a later one"}
	default:
		return nil
	}
}

const wantTime = "a time in seconds since 1970"

// isAudience reports whether the token is for this server. If the claim is
// present, it must be a string or a list of strings. If audiences are
// configured, one of them must be in it. A list that is known only in outline
// passes, and is checked after the signature.
func (i *jwtIssuer) isAudience(aud any, present bool) bool {
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
		return found && !present
	}
}
