package verifier_test

import (
	"testing"
	"time"

	"keyward/authz"
	"keyward/keyindex"
	"keyward/store"
	"keyward/verifier"
)

// ownFixture is a verifier of Keyward's own tokens, and the users that it knows.
func ownFixture(t *testing.T) (*jwtFixture, *keyindex.Users) {
	t.Helper()
	users := keyindex.NewUsers()
	users.Commit(users.Begin())
	return newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) {
		c.Users, i.Users, i.AuthMethod, i.Own = users, true, authz.AuthMethodOAuth, true
	}), users
}

// mintOwn signs a token as Keyward's issuer does, with changes.
func (f *jwtFixture) mintOwn(changes map[string]any) string {
	f.t.Helper()
	all := map[string]any{"client_id": "login", "jti": "j", "sid": "s", "sub_kind": "user", "gen": 3}
	for name, v := range changes {
		all[name] = v
	}
	return f.sign(f.t, "ES256", `{"alg":"ES256","kid":"ES256","typ":"at+jwt"}`, claims(all))
}

// TestOwnTokens: a token of Keyward's own issuer is that of its user's generation, and never
// grants more than the user has.
func TestOwnTokens(t *testing.T) {
	f, users := ownFixture(t)
	set := func(r store.UserRecord) {
		t.Helper()
		r.Name, r.Created, r.At = "alice", tokenNow, tokenNow
		if _, err := users.Begin().Apply(&r); err != nil {
			t.Fatal(err)
		}
		all := users.Begin()
		_, _ = all.Apply(&r)
		users.Commit(all)
	}
	set(store.UserRecord{Scopes: []string{"read", "write"}, Gen: 3, ValidSince: tokenNow.Add(-time.Second)})
	token := f.mintOwn(nil)
	if p := f.expect(token, authz.OK, "a login"); p != nil && (p.AuthMethod != authz.AuthMethodJWT || p.User != "alice" || p.Scopes.String() != "read") {
		t.Errorf("a login: %+v", p)
	}
	if p := f.expect(f.mintOwn(map[string]any{"client_id": "c_1"}), authz.OK, "a client's"); p != nil && p.AuthMethod != authz.AuthMethodOAuth {
		t.Errorf("a client's: %+v", p)
	}
	if p := f.expect(f.mintOwn(map[string]any{"scope": "admin read"}), authz.OK, "more than the user has"); p != nil && p.Scopes.String() != "read" {
		t.Errorf("more than the user has: %s", p.Scopes)
	}
	for _, gen := range []int{0, 2, 4} {
		f.expect(f.mintOwn(map[string]any{"gen": gen}), authz.RevokedToken, "another generation")
	}
	for name, changes := range map[string]map[string]any{
		"no kind": {"sub_kind": nil}, "a client": {"sub_kind": "client"}, "no generation": {"gen": nil}, "half a generation": {"gen": 2.5}, "a negative one": {"gen": -3},
		"a text": {"gen": "3"}, "no jti": {"jti": nil}, "no client": {"client_id": nil}, "a key's id": {"sub": "k_8ENbdXlcXqgH"},
	} {
		f.expect(f.mintOwn(changes), authz.InvalidToken, name)
	}
	f.expect(f.sign(t, "ES256", `{"alg":"ES256","kid":"ES256","typ":"JWT"}`, claims(map[string]any{"client_id": "login", "jti": "j", "sub_kind": "user", "gen": 3})), authz.InvalidToken, "an ID token")
	f.expect(f.mintOwn(map[string]any{"sub": "bob"}), authz.DisabledUser, "an unknown user")

	set(store.UserRecord{Scopes: []string{"write"}, Gen: 3})
	if p := f.expect(token, authz.OK, "with other scopes"); p != nil && p.Scopes.String() != "" {
		t.Errorf("a scope that the user has lost: %s", p.Scopes)
	}
	set(store.UserRecord{Gen: 3, Disabled: true})
	f.expect(token, authz.DisabledUser, "disabled")
	set(store.UserRecord{Gen: 4})
	f.expect(token, authz.RevokedToken, "ended")
}

// TestUserNamedLikeTheLoginClient: the user with the name login is a user.
func TestUserNamedLikeTheLoginClient(t *testing.T) {
	f, users := ownFixture(t)
	all := users.Begin()
	if _, err := all.Apply(&store.UserRecord{Name: "login", Gen: 3, Created: tokenNow, At: tokenNow}); err != nil {
		t.Fatal(err)
	}
	users.Commit(all)
	if p := f.expect(f.mintOwn(map[string]any{"sub": "login"}), authz.OK, "the user login"); p != nil && p.User != "login" {
		t.Errorf("%+v", p)
	}
}
