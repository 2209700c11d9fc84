package verifier

import (
	"encoding/json"
	"fmt"

	"keyward/authz"
	"keyward/verifier/strictjson"
)

// Rule is a rule that a token can break. The set is closed; docs/reasons.md
// lists it.
type Rule string

// The rules, in the order in which they are checked.
const (
	RuleForm      Rule = "form"      // three segments of base64url, at most max_token_bytes
	RuleHeader    Rule = "header"    // strict JSON
	RuleCrit      Rule = "crit"      // absent: no extensions (RFC 7515 section 4.1.11)
	RuleZip       Rule = "zip"       // absent: no compression
	RuleB64       Rule = "b64"       // not false: the payload is base64url
	RuleCty       Rule = "cty"       // not a token: the payload is the claims
	RuleAlg       Rule = "alg"       // one of the issuer's algorithms
	RuleTyp       Rule = "typ"       // a JWT, an access token, or one of types
	RuleKid       Rule = "kid"       // names one of the issuer's keys
	RulePayload   Rule = "payload"   // strict JSON
	RuleIss       Rule = "iss"       // one of the configured issuers; a text, if a server names it
	RuleExp       Rule = "exp"       // a time within max_lifetime; present, unless require_exp is false
	RuleNbf       Rule = "nbf"       // a time that is not in the future
	RuleIat       Rule = "iat"       // a time that is not in the future
	RuleAud       Rule = "aud"       // names one of the audiences
	RuleClaims    Rule = "claims"    // a claim with one of the values that the operator requires
	RuleSubject   Rule = "subject"   // names a user, or the token has a client_id
	RuleJti       Rule = "jti"       // a name: claims.Name
	RuleSid       Rule = "sid"       // a name
	RuleClientID  Rule = "client_id" // a name
	RuleRequired  Rule = "required"  // all claims of RFC 9068 are present
	RuleSubKind   Rule = "sub_kind"  // a user, in a token of Keyward's own issuer
	RuleGen       Rule = "gen"       // a whole number, in a token of Keyward's own issuer
	RuleCnf       Rule = "cnf"       // not bound to a key of the sender
	RuleSignature Rule = "signature" // made by the key
	RuleScope     Rule = "scope"     // scopes, in a text or a list
	RuleUse       Rule = "use"       // an access token, according to its server
	RuleActive    Rule = "active"    // active, according to its server
)

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{RuleForm, RuleHeader, RuleCrit, RuleZip, RuleB64, RuleCty, RuleAlg, RuleTyp, RuleKid, RulePayload, RuleIss, RuleExp, RuleNbf, RuleIat,
		RuleAud, RuleClaims, RuleSubject, RuleJti, RuleSid, RuleClientID, RuleRequired, RuleSubKind, RuleGen, RuleCnf, RuleSignature, RuleScope, RuleUse, RuleActive}
}

// Cause explains an invalid_token, for the log and for `keyward check`: the
// rule, what it requires, and what kind of value was found. It contains no text
// of the token, which could be a secret. The client does not see it.
type Cause struct {
	Rule Rule
	Want string
	Got  string // "" if there is nothing to say
}

// Error implements error.
func (c *Cause) Error() string {
	if c.Got == "" {
		return fmt.Sprintf("%s: want %s", c.Rule, c.Want)
	}
	return fmt.Sprintf("%s: want %s, got %s", c.Rule, c.Want, c.Got)
}

// invalid returns the error of a token that is invalid for the given cause.
func invalid(c *Cause) *authz.CredentialError {
	return &authz.CredentialError{Reason: authz.InvalidToken, Cause: c}
}

// causeLength is that of a token that is too long.
func causeLength(limit int) *Cause {
	return &Cause{RuleForm, fmt.Sprintf("at most %d bytes (max_token_bytes)", limit), "more"}
}

// causeSignature is that of a signature that none of the keys made.
func causeSignature(keys int) *Cause {
	if keys > 1 {
		return &Cause{RuleSignature, fmt.Sprintf("one made by one of the %d keys that were tried", keys), "another one"}
	}
	return &Cause{RuleSignature, "one made by the issuer's key for its kid and alg", "another one"}
}

// jsonType returns the JSON type of a member that package strictjson has
// parsed.
func jsonType(members map[string]any, name string) string {
	v, present := members[name]
	return typeOf(v, present)
}

func typeOf(v any, present bool) string {
	if !present {
		return "none"
	}
	return jsonTypeOf(v)
}

func jsonTypeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	case strictjson.Nested:
		return "a list or an object"
	default:
		return "something else"
	}
}
