package verifier

import (
	"encoding/json"
	"fmt"

	"keyward/authz"
	"keyward/verifier/strictjson"
)

// Rule is what a token can break. The set is closed; docs/reasons.md lists it.
type Rule string

// The rules, in the order in which a token meets them.
const (
	RuleForm      Rule = "form"      // three segments of base64url, of bounded length
	RuleHeader    Rule = "header"    // strict JSON
	RuleCrit      Rule = "crit"      // not there: no extensions (RFC 7515 section 4.1.11)
	RuleZip       Rule = "zip"       // not there: no compression
	RuleB64       Rule = "b64"       // not false: the payload is base64url
	RuleCty       Rule = "cty"       // names no token: the payload is the claims
	RuleAlg       Rule = "alg"       // one of the issuer's algorithms
	RuleTyp       Rule = "typ"       // a JWT, or an access token
	RuleKid       Rule = "kid"       // names one key that the issuer has
	RulePayload   Rule = "payload"   // strict JSON
	RuleIss       Rule = "iss"       // one of the configured issuers
	RuleExp       Rule = "exp"       // there, a time, and within max_lifetime
	RuleNbf       Rule = "nbf"       // a time that is not in the future
	RuleIat       Rule = "iat"       // a time that is not in the future
	RuleAud       Rule = "aud"       // names one of the audiences
	RuleSubject   Rule = "subject"   // names a user, or the token has a client_id
	RuleJti       Rule = "jti"       // a text
	RuleClientID  Rule = "client_id" // a text
	RuleRequired  Rule = "required"  // the claims of RFC 9068 are all there
	RuleCnf       Rule = "cnf"       // not bound to a key of the sender
	RuleSignature Rule = "signature" // made by the key
	RuleScope     Rule = "scope"     // scopes, in a text or a list
	RuleUse       Rule = "use"       // an access token, by what its server says of it
	RuleActive    Rule = "active"    // its server says that it is
)

// Rules lists them all.
func Rules() []Rule {
	return []Rule{RuleForm, RuleHeader, RuleCrit, RuleZip, RuleB64, RuleCty, RuleAlg, RuleTyp, RuleKid, RulePayload, RuleIss, RuleExp, RuleNbf, RuleIat,
		RuleAud, RuleSubject, RuleJti, RuleClientID, RuleRequired, RuleCnf, RuleSignature, RuleScope, RuleUse, RuleActive}
}

// Cause says why a token is invalid_token, for the log and for `keyward check`:
// the rule, what it wants, and what kind of thing came instead. It holds no
// text of the token, which could be a secret. The client is never told.
type Cause struct {
	Rule Rule
	Want string
	Got  string // "" where there is nothing to say
}

// Error implements error.
func (c *Cause) Error() string {
	if c.Got == "" {
		return fmt.Sprintf("%s: want %s", c.Rule, c.Want)
	}
	return fmt.Sprintf("%s: want %s, got %s", c.Rule, c.Want, c.Got)
}

// invalid refuses a token for that cause.
func invalid(c *Cause) *authz.CredentialError {
	return &authz.CredentialError{Reason: authz.InvalidToken, Cause: c}
}

// kindOf says what kind of thing a member is, as parsed by package strictjson.
func kindOf(members map[string]any, name string) string {
	v, there := members[name]
	if !there {
		return "none"
	}
	return kindOfValue(v)
}

func kindOfValue(v any) string {
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
