package verifier_test

import (
	"maps"
	"testing"
	"time"

	"keyward/authz"
	"keyward/keyindex"
	"keyward/store"
	"keyward/verifier"
)

// ownFixture is a verifier of Keyward's own tokens, and the users and clients that it knows.
func ownFixture(t *testing.T) (*jwtFixture, *keyindex.Users, *keyindex.Clients) {
	t.Helper()
	users, clients := keyindex.NewUsers(), keyindex.NewClients()
	users.Commit(users.Begin())
	clients.Commit(clients.Begin())
	return newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) {
		c.Users, c.Clients, i.Users, i.AuthMethod, i.Own = users, clients, true, authz.AuthMethodOAuth, true
	}), users, clients
}

// setOwn puts one record in force, of all there are.
func setOwn[R any](t *testing.T, sink store.Sink[R], r R) {
	t.Helper()
	all := sink.Begin()
	if _, err := all.Apply(&r); err != nil {
		t.Fatal(err)
	}
	sink.Commit(all)
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
	f, users, _ := ownFixture(t)
	set := func(r store.UserRecord) {
		t.Helper()
		r.Name, r.Created, r.At = "alice", tokenNow, tokenNow
		setOwn(t, users, r)
	}
	set(store.UserRecord{Scopes: []string{"read", "write"}, Gen: 3, ValidSince: tokenNow.Add(-time.Second)})
	token := f.mintOwn(nil)
	if p := f.expect(token, authz.OK, "a login"); p != nil && (p.AuthMethod != authz.AuthMethodJWT || p.User != "alice" || p.Scopes.String() != "read") {
		t.Errorf("a login: %+v", p)
	}
	if p := f.expect(f.mintOwn(map[string]any{"scope": "admin read"}), authz.OK, "more than the user has"); p != nil && p.Scopes.String() != "read" {
		t.Errorf("more than the user has: %s", p.Scopes)
	}
	for _, gen := range []int{0, 2, 4} {
		f.expect(f.mintOwn(map[string]any{"gen": gen}), authz.RevokedToken, "another generation")
	}
	for name, changes := range map[string]map[string]any{
		"no kind": {"sub_kind": nil}, "another kind": {"sub_kind": "key"}, "a client, which login is not": {"sub": "login", "sub_kind": "client"}, "no generation": {"gen": nil}, "half a generation": {"gen": 2.5}, "a negative one": {"gen": -3},
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
	f, users, _ := ownFixture(t)
	setOwn(t, users, store.UserRecord{Name: "login", Gen: 3, Created: tokenNow, At: tokenNow})
	if p := f.expect(f.mintOwn(map[string]any{"sub": "login"}), authz.OK, "the user login"); p != nil && p.User != "login" {
		t.Errorf("%+v", p)
	}
}

// TestOwnTokensOfClients: a token that was given to a client ends with the client, whether
// its subject is a user or the client itself, and grants no more than the client may have.
func TestOwnTokensOfClients(t *testing.T) {
	const id = "c_8ENbdXlcXqgH"
	f, users, clients := ownFixture(t)
	setOwn(t, users, store.UserRecord{Name: "alice", Gen: 3, Scopes: []string{"read", "write"}, Created: tokenNow, At: tokenNow})
	set := func(r store.Client) {
		t.Helper()
		r.ID, r.Created, r.At, r.Hash = id, tokenNow, tokenNow, [32]byte{1}
		setOwn(t, clients, r)
	}
	set(store.Client{Gen: 5, Scopes: []string{"read", "admin"}})
	ofUser := map[string]any{"client_id": id, "client_gen": 5, "scope": "read write admin"}
	ofClient := map[string]any{"client_id": id, "sub": id, "sub_kind": "client", "gen": 5, "scope": "read write admin"}
	with := func(claims map[string]any, name string, v any) map[string]any {
		changed := maps.Clone(claims)
		changed[name] = v
		return changed
	}
	tokens := map[string]string{"a user's": f.mintOwn(ofUser), "the client's": f.mintOwn(ofClient)}
	for what, want := range map[string]struct{ user, scopes string }{"a user's": {"alice", "read"}, "the client's": {"", "admin read"}} {
		if p := f.expect(tokens[what], authz.OK, what); p != nil && (p.User != want.user || p.ClientID != id || p.Scopes.String() != want.scopes || p.AuthMethod != authz.AuthMethodOAuth) {
			t.Errorf("%s: %+v", what, p)
		}
	}
	for what, c := range map[string]struct {
		claims map[string]any
		want   authz.Reason
	}{
		"an earlier generation of the client":    {with(ofUser, "client_gen", 4), authz.RevokedToken},
		"a later one":                            {with(ofUser, "client_gen", 6), authz.RevokedToken},
		"an earlier one of the user":             {with(ofUser, "gen", 2), authz.RevokedToken},
		"the client's, of an earlier generation": {with(ofClient, "gen", 4), authz.RevokedToken},
		"an unknown client":                      {with(ofUser, "client_id", "c_8ENbdXlcXqgX"), authz.RevokedToken},
		"no generation of the client":            {with(ofUser, "client_gen", nil), authz.InvalidToken},
		"a user as a client":                     {with(ofClient, "sub", "alice"), authz.InvalidToken},
		"another client":                         {with(ofClient, "sub", "c_8ENbdXlcXqgX"), authz.InvalidToken},
		"a client as a user":                     {with(ofUser, "sub", id), authz.InvalidToken},
	} {
		f.expect(f.mintOwn(c.claims), c.want, what)
	}
	for what, change := range map[string]func(){
		"disabled":                 func() { set(store.Client{Gen: 5, Disabled: true}) },
		"ended":                    func() { set(store.Client{Gen: 6}) },
		"a record of a newer kind": func() { set(store.Client{Gen: 5, Unsupported: true}) },
		"deleted":                  func() { set(store.Client{Gen: 6, Deleted: tokenNow}) },
	} {
		set(store.Client{Gen: 5})
		for whose, token := range tokens {
			f.expect(token, authz.OK, whose)
			change()
			f.expect(token, authz.RevokedToken, whose+", "+what)
			set(store.Client{Gen: 5})
		}
	}
	clients.Suspend()
	f.expect(tokens["the client's"], authz.Unavailable, "suspended")
}
