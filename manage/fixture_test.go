package manage

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
	"keyward/store/oauth"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
)

// inPostgres means that the tests run on a database. `make test` runs them on files and on
// a database.
var inPostgres = os.Getenv("KEYWARD_TEST_STORE") == "postgres"

var server = postgrestest.Server{Hasher: apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &server)) }

// fixture is a Service over files or a database, with a clock.
type fixture struct {
	*testing.T
	*Service
	admin access.Actor
	dir   string       // of the files
	db    *database.DB // nil: there are files

	mu   sync.Mutex
	time time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, time: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), admin: access.CLI("root", "host")}
	stores := f.files
	if inPostgres {
		stores = f.database
	}
	f.Service = New(Config{
		Stores: stores(), Hasher: server.Hasher, Now: f.now,
		HashPassword: func(_ context.Context, password authz.Secret) (string, error) {
			return testHash, nil
		},
	})
	return f
}

// files returns stores in files.
func (f *fixture) files() Stores {
	dir, hasher := f.TempDir(), server.Hasher
	f.dir = dir
	keys := filestore.NewKeyFile(filestore.KeyFileConfig{Path: filepath.Join(dir, "keys.jsonl"), Hasher: hasher, Now: f.now})
	users := filestore.NewUserFile(filestore.UserFileConfig{Path: filepath.Join(dir, "users.jsonl")})
	revocations := filestore.NewRevocationFile(filestore.RevocationFileConfig{Path: filepath.Join(dir, "revocations.jsonl")})
	projects := filestore.NewProjectFile(filestore.ProjectFileConfig{Path: filepath.Join(dir, "projects.jsonl")})
	clients := filestore.NewClientFile(filestore.ClientFileConfig{Path: filepath.Join(dir, "clients.jsonl"), Hasher: hasher})
	log := filestore.NewAuditFile(filestore.AuditFileConfig{Path: filepath.Join(dir, "audit.jsonl"), Now: f.now})
	return Stores{
		Keys: keys, KeyEditor: keys.Editor(log), Users: users, UserEditor: users.Editor(log),
		ProjectReader: projects, ProjectEditor: projects.Editor(log), ClientReader: clients, ClientEditor: clients.Editor(log),
		Revocations: revocations, RevocationEditor: revocations.Editor(log), Audit: log,
	}
}

// database returns stores in a database.
func (f *fixture) database() Stores {
	var err error
	if f.db, err = database.Open(server.Emptied(f)); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(f.db.Close)
	all := postgres.New(postgres.Config{DB: f.db, Now: f.now})
	return StoresOf(all, all.Audit())
}

const testHash = "$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.time
}

// pass lets time pass.
func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.time = f.time.Add(d)
}

func (f *fixture) ctx() context.Context { return context.Background() }

// user makes a user, as an administrator does.
func (f *fixture) user(name string, scopes []string, paths ...string) store.UserRecord {
	f.Helper()
	r, err := f.CreateUser(f.ctx(), f.admin, UserInput{Name: name, Scopes: scopes, Paths: paths})
	if err != nil {
		f.Fatal(err)
	}
	return r
}

// lastUser is the record of the user that was changed last, a deleted one's too.
func (f *fixture) lastUser() *store.UserRecord {
	f.Helper()
	var last []byte
	if f.db != nil {
		if err := f.db.Pool.QueryRow(f.ctx(), `SELECT line FROM user_record ORDER BY seq DESC LIMIT 1`).Scan(&last); err != nil {
			f.Fatal(err)
		}
	} else {
		text, err := os.ReadFile(filepath.Join(f.dir, "users.jsonl"))
		if err != nil {
			f.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		last = lines[len(lines)-1]
	}
	var d store.UserDecoder
	r, err := d.Decode(last)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

// project makes a project with the members, as an administrator does.
func (f *fixture) project(name string, members ...string) store.Project {
	f.Helper()
	r, err := f.CreateProject(f.ctx(), f.admin, registry.ProjectInput{Name: name, Members: members})
	if err != nil {
		f.Fatal(err)
	}
	return r
}

// client makes a program that is an OAuth client, as an administrator does.
func (f *fixture) client(name string) (store.Client, authz.Secret) {
	f.Helper()
	r, secret, err := f.CreateClient(f.ctx(), f.admin, registry.ClientInput{Name: name, Grants: []oauth.Grant{oauth.ClientCredentials}, Scopes: []string{"read"}})
	if err != nil {
		f.Fatal(err)
	}
	return r, secret
}

// key makes a key, as an administrator does.
func (f *fixture) key(p store.KeyParams) store.KeyRecord {
	f.Helper()
	if p.Name == "" {
		p.Name = "a key"
	}
	r, _, err := f.CreateKey(f.ctx(), f.admin, p)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

var testCall = access.Call{Via: audit.ViaAPI, Address: netip.MustParseAddr("192.0.2.1"), RequestID: "r1"}

// byKey is the actor of a new key of the user's with those scopes; nil is the user's.
func (f *fixture) byKey(user string, scopes *[]string, paths ...string) access.Actor {
	f.Helper()
	return f.actorOf(f.key(store.KeyParams{User: user, Scopes: scopes, Paths: paths}))
}

// actorOf is the actor of a key, as it and its user are now.
func (f *fixture) actorOf(key store.KeyRecord) access.Actor {
	f.Helper()
	key, err := f.Keys.Get(f.ctx(), key.ID)
	if err != nil {
		return access.Actor{}
	}
	if key.User == "" {
		return access.KeyActor(&key, nil, f.now(), testCall)
	}
	user, err := f.Users.Get(f.ctx(), key.User)
	if err != nil {
		return access.Actor{}
	}
	return access.KeyActor(&key, &user, f.now(), testCall)
}

// bySession is the actor of a session of the user's.
func (f *fixture) bySession(user string, granted ...string) access.Actor {
	f.Helper()
	r, err := f.Users.Get(f.ctx(), user)
	if err != nil {
		f.Fatal(err)
	}
	return access.SessionActor(&r, access.Session{ID: "s_1", Login: f.now(), Roles: granted, ByPassword: true}, testCall)
}

// entries are those of the audit log.
func (f *fixture) entries() []audit.Entry {
	f.Helper()
	all, _, err := f.Audit.List(f.ctx(), store.AuditFilter{}, store.Page{})
	if err != nil {
		f.Fatal(err)
	}
	return all
}

// wantCode fails the test unless err is of the code; "" means nil.
func (f *fixture) wantCode(what string, err error, code fault.Code) {
	f.Helper()
	var e *fault.Error
	switch {
	case err == nil && code == "":
	case err == nil:
		f.Errorf("%s: done, want %s", what, code)
	case !errors.As(err, &e):
		f.Errorf("%s: %v is not an Error", what, err)
	case e.Code != code:
		f.Errorf("%s: %v, want %q", what, err, code)
	}
}

func scopes(names ...string) *[]string { return &names }
