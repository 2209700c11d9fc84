package account

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
)

// fixture is a Service over files, with a clock, whose users all have one password.
type fixture struct {
	*testing.T
	*Service
	admin  access.Actor
	dir    string // of the files
	passed atomic.Int64
}

const (
	testPassword = "correct horse"
	testHash     = "$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
)

var (
	correct     = authz.NewSecret(testPassword)
	newPassword = authz.NewSecret("battery staple")
	testCall    = access.Call{Via: audit.ViaAPI, Address: netip.MustParseAddr("192.0.2.1"), RequestID: "r1"}
)

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{T: t, admin: access.CLI("root", "host"), dir: dir}
	hasher := apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))
	log := filestore.NewAuditFile(filestore.AuditFileConfig{Path: filepath.Join(dir, "audit.jsonl"), Now: f.now})
	users := filestore.NewUserFile(filestore.UserFileConfig{Path: filepath.Join(dir, "users.jsonl")})
	keys := filestore.NewKeyFile(filestore.KeyFileConfig{Path: filepath.Join(dir, "keys.jsonl"), Hasher: hasher, Now: f.now})
	records := manage.New(manage.Config{
		Stores: manage.Stores{Keys: keys, KeyEditor: keys.Editor(log), Users: users, UserEditor: users.Editor(log), Audit: log},
		Hasher: hasher, Now: f.now,
		HashPassword: func(context.Context, authz.Secret) (string, error) { return testHash, nil },
	})
	db, err := state.Open(t.Context(), state.Config{Path: filepath.Join(dir, "keyward.db"), SessionIdle: 30 * time.Minute, SessionMax: 12 * time.Hour, Now: f.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	log.Watch("link", db)
	log.Watch("session", state.File{Path: filepath.Join(dir, "keyward.db")}) // as a command does
	records.SessionExists = db.Sessions.Exists
	f.Service = New(Config{Records: records, State: db, CheckPassword: checkTestPassword})
	return f
}

func checkTestPassword(_ context.Context, _ string, password authz.Secret, _ authz.RawAddress) (authz.Secret, error) {
	if password.Reveal() != testPassword {
		return authz.Secret{}, &authz.CredentialError{Reason: authz.WrongPassword}
	}
	return authz.NewSecret(testHash), nil
}

func (f *fixture) now() time.Time {
	return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC).Add(time.Duration(f.passed.Load()))
}

// pass lets time pass.
func (f *fixture) pass(d time.Duration) { f.passed.Add(int64(d)) }

// want fails the test unless err is of the code; "" means nil.
func (f *fixture) want(what string, err error, code fault.Code) {
	f.Helper()
	var e *fault.Error
	if err == nil && code != "" || err != nil && (!errors.As(err, &e) || e.Code != code) {
		f.Errorf("%s: %v, want %q", what, err, code)
	}
}

// user makes a user with that password.
func (f *fixture) user(name string, scopes ...string) {
	f.Helper()
	password := correct
	_, err := f.Records.CreateUser(f.Context(), f.admin, manage.UserInput{Name: name, Scopes: scopes, Password: &password})
	f.want("a user", err, "")
}

func (f *fixture) patch(name string, patch manage.UserPatch) error {
	_, err := f.Records.UpdateUser(f.Context(), f.admin, manage.UserRef{Name: name}, patch)
	return err
}

func (f *fixture) delete(name string) error {
	return f.Records.DeleteUser(f.Context(), f.admin, manage.UserRef{Name: name})
}

func (f *fixture) setPassword(name string) error {
	return f.Records.SetPassword(f.Context(), f.admin, manage.UserRef{Name: name}, authz.NewSecret(testPassword), false)
}

// key is the actor of a new key of the user's.
func (f *fixture) key(user string, scopes ...string) access.Actor {
	f.Helper()
	r, _, err := f.Records.CreateKey(f.Context(), f.admin, store.KeyParams{Name: "a key", User: user, Scopes: &scopes})
	f.want("a key", err, "")
	return f.keyActor(r.ID)
}

func (f *fixture) keyActor(id string) access.Actor {
	f.Helper()
	a, err := f.Records.ActorOf(f.Context(), id, testCall)
	f.want("the key", err, "")
	return a
}

func (f *fixture) record(name string) store.UserRecord {
	f.Helper()
	r, err := f.Records.Users.Get(f.Context(), name)
	f.want("the record", err, "")
	return r
}

// login is the actor of a new session of the user, and its cookie.
func (f *fixture) login(user string) (access.Actor, authz.Secret) {
	f.Helper()
	r := f.record(user)
	_, cookie, err := f.State.Sessions.Create(f.Context(), state.Login{User: user, Method: state.LoginPassword, Address: "192.0.2.1", After: r.SessionsFrom()})
	f.want("a session", err, "")
	return f.actor(cookie), cookie
}

// actor is that of a session as it and its user are now.
func (f *fixture) actor(cookie authz.Secret) access.Actor {
	f.Helper()
	a, err := f.Actor(f.Context(), cookie, testCall)
	f.want("the session", err, "")
	return a
}

// entries are those of the audit log.
func (f *fixture) entries() []audit.Entry {
	f.Helper()
	all, _, err := f.Records.Audit.List(f.Context(), store.AuditFilter{}, store.Page{})
	f.want("the log", err, "")
	return all
}
