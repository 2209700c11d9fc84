package verifier

import (
	"encoding/json"
	"strconv"

	"keyward/authz"
	"keyward/store/oauth"
)

// ownClaims are the claims that tokens of Keyward's own issuer have beside those of RFC 9068:
// sub_kind says whether the subject is a user or a client, and gen is the generation of the
// subject's tokens, which ends those that were issued before.
type ownClaims struct {
	gen int64
}

// The values of sub_kind.
const subjectUser = "user"

// read reads the claims. They are needed: a token without them is not one that this issuer
// signs for a check, such as an ID token.
func (c *ownClaims) read(members map[string]any) *Cause {
	if kind, _ := members["sub_kind"].(string); kind != subjectUser {
		return &Cause{RuleSubKind, strconv.Quote(subjectUser) + " in sub_kind", jsonType(members, "sub_kind")}
	}
	number, _ := members["gen"].(json.Number)
	gen, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil || gen < 0 {
		return &Cause{RuleGen, "a whole number, from 0, in gen", jsonType(members, "gen")}
	}
	c.gen = gen
	return nil
}

// ownAuthMethod is how the limits, routes and metrics count a token: one of a login is a JWT,
// and one that was given to a client is an OAuth access token.
func ownAuthMethod(client string) authz.AuthMethod {
	if client == oauth.LoginClient {
		return authz.AuthMethodJWT
	}
	return authz.AuthMethodOAuth
}
