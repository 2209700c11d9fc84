package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
)

// inPostgres means that the tests run on a database. `make test` runs them on files and on
// a database.
var inPostgres = os.Getenv("KEYWARD_TEST_STORE") == "postgres"

var server = postgrestest.Server{Hasher: apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &server)) }

// plain is a Signer whose tokens a test can read.
type plain struct{ err error }

func (p plain) Sign(typ string, claims any) (string, error) {
	text, err := json.Marshal(claims)
	return typ + " " + string(text), errors.Join(err, p.err)
}

// fixture is a Service over files, with a clock, whose users all have one password.
type fixture struct {
	*testing.T
	*Service
	signer plain
	passed atomic.Int64
	reused int
	issued []string
}

const (
	testPassword = "correct horse"
	testHash     = "$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
)

var (
	admin = access.CLI("root", "host")
	call  = access.Call{Via: audit.ViaIssuer, Address: netip.MustParseAddr("192.0.2.1"), RequestID: "r1"}
)

func (f *fixture) now() time.Time {
	return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).Add(time.Duration(f.passed.Load()))
}

func (f *fixture) pass(d time.Duration) { f.passed.Add(int64(d)) }

// Sign implements Signer.
func (f *fixture) Sign(typ string, claims any) (string, error) { return f.signer.Sign(typ, claims) }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t}
	open := f.files
	if inPostgres {
		open = f.database
	}
	stores, db := open()
	records := manage.New(manage.Config{
		Stores: stores, Hasher: server.Hasher, Now: f.now, HashPassword: func(context.Context, authz.Secret) (string, error) { return testHash, nil },
	})
	check := func(_ context.Context, _ string, password authz.Secret, _ authz.RawAddress) (authz.Secret, error) {
		if password.Reveal() != testPassword {
			return authz.Secret{}, &authz.CredentialError{Reason: authz.WrongPassword}
		}
		return authz.NewSecret(testHash), nil
	}
	f.Service = New(Config{
		Records: records, Accounts: account.New(account.Config{Records: records, State: db, CheckPassword: check}), Grants: db.Grants, Consents: db.Consents, Signer: f,
		Issuer: "https://api.example.com", Audience: "api", AccessTTL: time.Hour, RefreshTTL: 30 * 24 * time.Hour, LongestTTL: 24 * time.Hour, Now: f.now, Reused: func() { f.reused++ }, Issued: func(grant string) { f.issued = append(f.issued, grant) },
	})
	f.user("alice", "read", "keyward:self", "write")
	return f
}

// files are stores and a state in files.
func (f *fixture) files() (manage.Stores, *state.DB) {
	f.Helper()
	dir := f.TempDir()
	log := filestore.NewAuditFile(filestore.AuditFileConfig{Path: filepath.Join(dir, "audit.jsonl"), Now: f.now})
	users := filestore.NewUserFile(filestore.UserFileConfig{Path: filepath.Join(dir, "users.jsonl")})
	keys := filestore.NewKeyFile(filestore.KeyFileConfig{Path: filepath.Join(dir, "keys.jsonl"), Hasher: server.Hasher, Now: f.now})
	revocations := filestore.NewRevocationFile(filestore.RevocationFileConfig{Path: filepath.Join(dir, "revocations.jsonl")})
	clients := filestore.NewClientFile(filestore.ClientFileConfig{Path: filepath.Join(dir, "clients.jsonl"), Hasher: server.Hasher})
	db, err := state.Open(f.Context(), state.Config{Path: filepath.Join(dir, "keyward.db"), SessionIdle: 8 * time.Hour, SessionMax: 8 * time.Hour, Now: f.now})
	f.want("the state", err, "")
	f.Cleanup(func() { _ = db.Close() })
	return manage.Stores{
		Keys: keys, KeyEditor: keys.Editor(log), Users: users, UserEditor: users.Editor(log), Audit: log,
		Revocations: revocations, RevocationEditor: revocations.Editor(log), ClientReader: clients, ClientEditor: clients.Editor(log),
	}, db
}

// database is the same in a database.
func (f *fixture) database() (manage.Stores, *state.DB) {
	f.Helper()
	db, err := database.Open(server.Emptied(f))
	f.want("the database", err, "")
	f.Cleanup(db.Close)
	all := postgres.New(postgres.Config{DB: db, Now: f.now})
	return manage.StoresOf(all, all.Audit()), state.OpenShared(state.SharedConfig{Database: db, SessionIdle: 8 * time.Hour, SessionMax: 8 * time.Hour, Now: f.now})
}

func (f *fixture) user(name string, scopes ...string) {
	f.Helper()
	password := authz.NewSecret(testPassword)
	_, err := f.Records.CreateUser(f.Context(), admin, manage.UserInput{Name: name, Scopes: scopes, Password: &password})
	f.want("a user", err, "")
}

// want fails the test unless err is of the code; "" means nil.
func (f *fixture) want(what string, err error, code fault.Code) {
	f.Helper()
	if err == nil && code != "" || err != nil && fault.CodeOf(err) != code {
		f.Errorf("%s: %v, want %q", what, err, code)
	}
}

func (f *fixture) login() Tokens {
	f.Helper()
	tokens, err := f.Login(f.Context(), call, "alice", authz.NewSecret(testPassword))
	f.want("login", err, "")
	return tokens
}

func (f *fixture) refresh(token authz.Secret) (Tokens, error) {
	return f.Refresh(f.Context(), call, token)
}

// claims are those of an access token.
func (f *fixture) claims(t Tokens) (all map[string]any) {
	f.Helper()
	typ, text, _ := strings.Cut(t.Access.Reveal(), " ")
	if err := json.Unmarshal([]byte(text), &all); err != nil || typ != "at+jwt" {
		f.Fatalf("%s %v", typ, err)
	}
	return all
}

// revoked are the sids that revocations name.
func (f *fixture) revoked() (all []store.Revocation) {
	f.Helper()
	all, _, err := f.Records.Revocations.List(f.Context(), store.RevocationFilter{}, store.Page{})
	f.want("revocations", err, "")
	return all
}

// TestLogin: a login gives a token of the user with the user's scopes and without those of
// Keyward, and a refresh token.
func TestLogin(t *testing.T) {
	f := newFixture(t)
	tokens := f.login()
	c := f.claims(tokens)
	now := f.now().Unix()
	for name, want := range map[string]any{
		"iss": "https://api.example.com", "aud": "api", "sub": "alice", "client_id": "login", "iat": float64(now), "exp": float64(now + 3600),
		"sub_kind": "user", "gen": float64(0), "scope": "read write",
	} {
		if c[name] != want {
			t.Errorf("%s is %v, want %v", name, c[name], want)
		}
	}
	if c["jti"] == "" || c["sid"] == "" || tokens.Refresh.Empty() || !tokens.Expires.Equal(f.now().Add(time.Hour)) || tokens.User != "alice" {
		t.Errorf("%+v of %v", tokens, c)
	}
	_, err := f.Login(f.Context(), call, "alice", authz.NewSecret("wrong"))
	f.want("a wrong password", err, fault.Invalid)
	_, err = f.Login(f.Context(), call, "bob", authz.NewSecret(testPassword))
	f.want("an unknown user", err, fault.Invalid)
	f.want("a temporary password", f.Records.SetPassword(f.Context(), admin, manage.UserRef{Name: "alice"}, authz.NewSecret(testPassword), true), "")
	_, err = f.Login(f.Context(), call, "alice", authz.NewSecret(testPassword))
	f.want("a password that must be changed", err, fault.Forbidden)
	f.signer.err = errors.New("no key")
	f.user("carol")
	_, err = f.Login(f.Context(), call, "carol", authz.NewSecret(testPassword))
	f.want("without a signing key", err, fault.StoreUnavailable)
}

// TestRefresh: a refresh token gives the next one and a token of the user as it is now; one
// that is used again ends the grant.
func TestRefresh(t *testing.T) {
	f := newFixture(t)
	first := f.login()
	f.pass(time.Hour)
	_, err := f.Records.UpdateUser(f.Context(), admin, manage.UserRef{Name: "alice"}, manage.UserPatch{Scopes: &[]string{"write"}})
	f.want("other scopes", err, "")
	second, err := f.refresh(first.Refresh)
	f.want("refresh", err, "")
	if c, before := f.claims(second), f.claims(first); c["scope"] != "write" || c["sid"] != before["sid"] || c["jti"] == before["jti"] || second.Refresh == first.Refresh {
		t.Errorf("%v after %v", c, before)
	}
	again, err := f.refresh(first.Refresh)
	f.want("at once again", err, "")
	if again.Refresh != second.Refresh {
		t.Error("a repeated refresh has another successor")
	}
	if _, err := f.refresh(second.Refresh); err != nil {
		t.Error(err)
	}
	_, err = f.refresh(first.Refresh)
	f.want("its successor was used", err, fault.NotFound)
	if len(f.revoked()) > 0 || f.reused > 0 {
		t.Error("what was repeated at once has ended the grant")
	}
	f.pass(11 * time.Second)
	third, err := f.refresh(first.Refresh)
	f.want("reuse", err, fault.NotFound)
	ended := f.revoked()
	if len(ended) != 1 || ended[0].SessionID != f.claims(first)["sid"] || !ended[0].Until.Equal(f.now().Add(24*time.Hour)) || f.reused != 1 || !third.Access.Empty() {
		t.Errorf("%+v, %d times", ended, f.reused)
	}
	_, err = f.refresh(second.Refresh)
	f.want("after reuse", err, fault.NotFound)
	if want := []string{"login", "refresh_token", "refresh_token", "refresh_token"}; !slices.Equal(f.issued, want) {
		t.Errorf("counted %q, want %q", f.issued, want)
	}
	for _, junk := range []authz.Secret{{}, authz.NewSecret("junk")} {
		_, err = f.refresh(junk)
		f.want("junk", err, fault.NotFound)
	}
}

// TestWhatEndsAGrant: after what ends a user's logins, no refresh token gives tokens, also one
// that was used just now.
func TestWhatEndsAGrant(t *testing.T) {
	yes := true
	for what, end := range map[string]func(f *fixture) error{
		"disabled": func(f *fixture) error {
			_, err := f.Records.UpdateUser(f.Context(), admin, manage.UserRef{Name: "alice"}, manage.UserPatch{Disabled: &yes})
			return err
		},
		"deleted": func(f *fixture) error { return f.Records.DeleteUser(f.Context(), admin, manage.UserRef{Name: "alice"}) },
		"another password": func(f *fixture) error {
			return f.Records.SetPassword(f.Context(), admin, manage.UserRef{Name: "alice"}, authz.NewSecret(testPassword), false)
		},
		"a temporary password": func(f *fixture) error {
			return f.Records.SetPassword(f.Context(), admin, manage.UserRef{Name: "alice"}, authz.NewSecret(testPassword), true)
		},
	} {
		f := newFixture(t)
		used, fresh := f.login(), f.login()
		_, err := f.refresh(used.Refresh)
		f.want("refresh", err, "")
		f.want(what, end(f), "")
		_, err = f.refresh(fresh.Refresh)
		f.want(what+": a fresh one", err, fault.NotFound)
		_, err = f.refresh(used.Refresh)
		f.want(what+": one that was used just now", err, fault.NotFound)
	}
}

// TestLogout: a logout ends the grant of a refresh token, used or not, and no other.
func TestLogout(t *testing.T) {
	f := newFixture(t)
	first, other := f.login(), f.login()
	second, err := f.refresh(first.Refresh)
	f.want("refresh", err, "")
	f.want("logout by the used one", f.Logout(f.Context(), call, first.Refresh), "")
	_, err = f.refresh(second.Refresh)
	f.want("after the logout", err, fault.NotFound)
	f.want("again", f.Logout(f.Context(), call, second.Refresh), "")
	f.want("junk", f.Logout(f.Context(), call, authz.NewSecret("junk")), "")
	if _, err := f.refresh(other.Refresh); err != nil {
		t.Error("another login has ended")
	}
	ended := f.revoked()
	if len(ended) != 1 || ended[0].SessionID != f.claims(first)["sid"] || ended[0].By != "alice" || ended[0].Via != audit.ViaIssuer {
		t.Errorf("revocations: %+v", ended)
	}
	entries, _, err := f.Records.Audit.List(f.Context(), store.AuditFilter{Action: audit.RevocationCreate}, store.Page{})
	f.want("the log", err, "")
	if len(entries) != 1 || entries[0].Actor != "alice" || entries[0].Outcome != audit.Done {
		t.Errorf("entries: %+v", entries)
	}
}

// oneUser is a store with one user, as no change makes it.
type oneUser struct {
	store.UserReader
	record store.UserRecord
}

// Get implements store.UserReader.
func (o oneUser) Get(context.Context, string) (store.UserRecord, error) { return o.record, nil }

// TestUserOfAGrant: a user who is disabled, or must change the password, has no tokens, whatever
// the generation is; one who is there has.
func TestUserOfAGrant(t *testing.T) {
	f := newFixture(t)
	tokens := f.login()
	good, err := f.Records.Users.Get(t.Context(), "alice")
	f.want("the user", err, "")
	for what, change := range map[string]func(r *store.UserRecord){
		"disabled": func(r *store.UserRecord) { r.Disabled = true }, "a password that must be changed": func(r *store.UserRecord) { r.MustChange = true },
		"another generation": func(r *store.UserRecord) { r.Gen++ },
	} {
		r := good
		change(&r)
		f.Records.Users = oneUser{f.Records.Users, r}
		_, err := f.refresh(tokens.Refresh)
		f.want(what, err, fault.NotFound)
	}
	f.Records.Users = oneUser{f.Records.Users, good}
	f.pass(11 * time.Second) // after which a token that was used is reuse
	_, err = f.refresh(tokens.Refresh)
	f.want("as before, by a token that was refused and not used up", err, "")
}

// TestGrantOfAClient: a refresh token of a client's grant is neither refreshed nor ended by the
// login endpoint.
func TestGrantOfAClient(t *testing.T) {
	f := newFixture(t)
	_, token, err := f.Grants.Create(t.Context(), 0, state.Grant{User: "alice", Client: "c_1"}, time.Hour)
	f.want("a grant", err, "")
	_, err = f.refresh(token)
	f.want("refresh", err, fault.NotFound)
	f.want("logout", f.Logout(t.Context(), call, token), "")
	if _, err := f.Grants.Find(t.Context(), token); err != nil || len(f.revoked()) > 0 {
		t.Errorf("a logout has ended a client's grant: %v", err)
	}
}

// TestGranted: no token has a scope of Keyward.
func TestGranted(t *testing.T) {
	scopes := []string{"keyward:admin", "a", "keyward:", "keyward", "b"}
	if got := grantable(scopes); !slices.Equal(got, []string{"a", "keyward", "b"}) || scopes[0] != "keyward:admin" {
		t.Errorf("%q of %q", got, scopes)
	}
}
