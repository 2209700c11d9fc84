package verifier

import (
	"encoding/json"
	"fmt"
	"strconv"

	"keyward/authz"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/oauth"
)

// ownClaims are the claims that tokens of Keyward's own issuer have beside those of RFC 9068:
// sub_kind says whether the subject is a user or a client. gen is the generation of the
// subject's tokens, which ends those that were issued before, and client_gen that of the
// client which a user's token was given to.
type ownClaims struct {
	ofClient       bool // the subject is the client
	gen, clientGen int64
}

// The values of sub_kind.
const (
	subjectUser   = "user"
	subjectClient = "client"
)

// ClientStore is where OAuth clients are looked up.
type ClientStore interface {
	// Ready returns why Lookup cannot be relied on; nil if it can.
	Ready() error
	Lookup(id string) (*keyindex.Client, bool)
}

// read reads the claims. They are needed: a token without them is not one that this issuer
// signs for a check, such as an ID token.
func (c *ownClaims) read(members map[string]any) *Cause {
	kind, _ := members["sub_kind"].(string)
	if kind != subjectUser && kind != subjectClient {
		return &Cause{RuleSubKind, oneOf([]string{subjectClient, subjectUser}) + " in sub_kind", jsonType(members, "sub_kind")}
	}
	c.ofClient = kind == subjectClient
	var cause *Cause
	if c.gen, cause = generation(members, "gen"); cause != nil {
		return cause
	}
	if client, _ := members["client_id"].(string); c.ofClient || client == oauth.LoginClient {
		return nil
	}
	c.clientGen, cause = generation(members, "client_gen")
	return cause
}

func generation(members map[string]any, name string) (int64, *Cause) {
	number, _ := members[name].(json.Number)
	gen, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil || gen < 0 {
		return 0, &Cause{RuleGen, "a whole number, from 0, in " + name, jsonType(members, name)}
	}
	return gen, nil
}

// readClientSubject checks that the subject of a client's own token is that client.
func (c *jwtClaims) readClientSubject(members map[string]any) *Cause {
	if subject, _ := members["sub"].(string); subject != c.client || !store.ValidClientID(c.client) {
		return &Cause{RuleSubject, "the id of the client in sub and client_id", jsonType(members, "sub")}
	}
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

// admitClient checks whether the client that an own token was given to may still use it. No
// token has more scopes than its client.
func (j *JWT) admitClient(t *jwtToken) error {
	if !t.issuer.Own || t.principal.ClientID == oauth.LoginClient {
		return nil
	}
	if err := j.cfg.Clients.Ready(); err != nil {
		return fmt.Errorf("looking up the client of a token: %w", err)
	}
	client, known := j.cfg.Clients.Lookup(t.principal.ClientID)
	gen := t.own.clientGen
	if t.own.ofClient {
		gen = t.own.gen
	}
	if !known || client.Disabled || client.Gen != gen {
		return &authz.CredentialError{Reason: authz.RevokedToken, Principal: t.principal}
	}
	t.client = client
	t.principal.Scopes = t.principal.Scopes.Within(client.Scopes)
	return nil
}
