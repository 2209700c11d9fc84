package verifier_test

import (
	"testing"
	"time"

	"keyward/authz"
	"keyward/verifier"
)

// TestTokenSubject checks that a client's id never becomes a user, and that no
// subject has the form of Keyward's ids.
func TestTokenSubject(t *testing.T) {
	type change = map[string]any
	access := func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.AuthMethod = authz.AuthMethodOAuth }
	byClaim := func(name string) func(*verifier.JWTConfig, *verifier.JWTIssuer) {
		return func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.SubjectClaim = name }
	}
	for name, c := range map[string]struct {
		rules        func(*verifier.JWTConfig, *verifier.JWTIssuer)
		claims       change
		want         authz.Reason
		user, client string
	}{
		"a user":                          {nil, change{}, authz.OK, "alice", ""},
		"a user by a client":              {nil, change{"client_id": "app"}, authz.OK, "alice", "app"},
		"a client with a user's name":     {nil, change{"client_id": "alice"}, authz.OK, "", "alice"},
		"a client and no subject":         {nil, change{"sub": nil, "client_id": "alice"}, authz.OK, "", "alice"},
		"neither":                         {nil, change{"sub": nil}, authz.InvalidToken, "", ""},
		"no subject, and an unfit client": {nil, change{"sub": nil, "client_id": " app"}, authz.InvalidToken, "", ""},
		"an unfit subject":                {nil, change{"sub": " alice", "client_id": "app"}, authz.InvalidToken, "", ""},
		"an unfit client":                 {nil, change{"client_id": 1.5}, authz.OK, "alice", ""},
		"a number":                        {nil, change{"sub": 42}, authz.OK, "42", ""},
		"a client of a user's number":     {nil, change{"sub": 42, "client_id": 42}, authz.OK, "", "42"},
		"the same in another type":        {nil, change{"sub": 42, "client_id": "42"}, authz.OK, "", "42"},
		"another claim, beside a number":  {byClaim("email"), change{"sub": -1.5, "email": "a@example.com"}, authz.OK, "a@example.com", ""},
		"another claim, a number":         {byClaim("user_id"), change{"sub": nil, "user_id": 7}, authz.OK, "7", ""},
		"another claim, by a pointer":     {byClaim("/user/id"), change{"user": change{"id": 7}}, authz.OK, "7", ""},
		"sub by a pointer":                {byClaim("/sub"), change{"client_id": "alice"}, authz.OK, "", "alice"},
		"a key's id":                      {nil, change{"sub": "k_8ENbdXlcXqgH"}, authz.InvalidToken, "", ""},
		"a client's id of Keyward":        {nil, change{"sub": "c_8ENbdXlcXqgH"}, authz.InvalidToken, "", ""},
		"a client like a key's id":        {nil, change{"sub": nil, "client_id": "k_8ENbdXlcXqgH"}, authz.OK, "", "k_8ENbdXlcXqgH"},
		"another claim":                   {byClaim("email"), change{"email": "a@example.com", "sub": "app", "client_id": "app"}, authz.OK, "a@example.com", "app"},
		"another claim, of a key's id":    {byClaim("email"), change{"email": "k_1"}, authz.InvalidToken, "", ""},
		"another claim, absent":           {byClaim("email"), change{"client_id": "app"}, authz.OK, "", "app"},
		"the client by configuration":     {byClaim("client_id"), change{"client_id": "app"}, authz.OK, "app", "app"},
		"an access token of a client":     {access, change{"sub": "app", "client_id": "app", "jti": "j"}, authz.OK, "", "app"},
		"an access token of a user":       {access, change{"client_id": "app", "jti": "j"}, authz.OK, "alice", "app"},
	} {
		f := newJWTFixture(t, c.rules)
		p := f.expect(f.sign(t, "EdDSA", `{"alg":"EdDSA","kid":"EdDSA","typ":"at+jwt"}`, claims(c.claims)), c.want, name)
		if p != nil && (p.User != c.user || p.ClientID != c.client || p.Subject() != c.user) {
			t.Errorf("%s: user %q, client %q", name, p.User, p.ClientID)
		}
	}
}

// TestClientTokens checks that a client's own token is invalid if subjects are
// users, and that a client's tokens are revoked by the client's id.
func TestClientTokens(t *testing.T) {
	list := &revocationList{}
	f := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) {
		c.Users, i.Users = userMap{"alice": {Name: "alice"}}, true
	})
	f.expect(f.mint("EdDSA", map[string]any{"client_id": "alice"}), authz.InvalidToken, "a client with a user's name")
	f.expect(f.mint("EdDSA", map[string]any{"sub": nil, "client_id": "alice"}), authz.InvalidToken, "a client")

	f = newJWTFixture(t, func(c *verifier.JWTConfig, _ *verifier.JWTIssuer) { c.Revocations = list })
	token := f.mint("EdDSA", map[string]any{"sub": nil, "client_id": "app"})
	f.expect(token, authz.OK, "not revoked")
	list.change(func() { list.subjects = map[string]time.Time{"app": tokenNow} })
	f.expect(token, authz.RevokedToken, "revoked")
}
