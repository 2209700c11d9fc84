package grammar

import (
	"errors"
	"fmt"

	"keyward/verifier/claims"
)

// notAccessTokens are types of tokens that are made for something else than
// access to an API, with what they are.
var notAccessTokens = map[string]string{
	"dpop+jwt": "a proof of possession", "logout+jwt": "a logout token", "secevent+jwt": "a security event", "rt+jwt": "a refresh token",
	"oauth-authz-req+jwt": "an authorization request", "client-authentication+jwt": "a client's authentication", "token-introspection+jwt": "an introspection response",
	"entity-statement+jwt": "a statement about a member of a federation", "trust-mark+jwt": "a mark of a federation", "kb+jwt": "the proof of a credential's holder",
	"statuslist+jwt": "a list of statuses", "jose+json": "a token in the JSON serialization, which is not supported",
}

// TokenType accepts values of typ that an access token may have.
func TokenType(name string) error {
	short := claims.MediaType(name)
	switch {
	case !IsWord(short, "!#$&-^_.+") || len(name) > 127: // RFC 6838 section 4.2
		return errors.New("want the name of a media type, as JOSE or vnd.example+jwt")
	case notAccessTokens[short] != "":
		return fmt.Errorf("%s is %s: it is never an access token", short, notAccessTokens[short])
	case short == "none":
		return errors.New("leave it out: with kind jwt a token without typ is accepted, and with kind oauth it never is")
	default:
		return nil
	}
}
