package storecopy

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
	"keyward/store/journal/filesystem"
	"keyward/store/oauth"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
)

var server = postgrestest.Server{Hasher: apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &server)) }

// filesIn are the files of a directory.
func filesIn(dir string, files filesystem.FS) Files {
	path := func(name string) string { return filepath.Join(dir, name+".jsonl") }
	return Files{
		Keys: path("keys"), Users: path("users"), Projects: path("projects"), Clients: path("clients"),
		Revocations: path("revocations"), Audit: path("audit"), Usage: path("usage"), Hasher: server.Hasher, FS: files,
	}
}

func openDatabase(t testing.TB, cfg database.Config) *postgres.Store {
	t.Helper()
	db, err := database.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return postgres.New(postgres.Config{DB: db})
}

// contents is what a store has, in files or in a database.
type contents struct {
	keys        store.KeyReader
	users       store.UserReader
	projects    store.Reader[store.Project, store.ProjectFilter]
	clients     store.Reader[store.Client, store.ClientFilter]
	revocations store.RevocationReader
	audit       store.AuditLog

	keyEditor        store.Editor[store.KeyRecord]
	userEditor       store.Editor[store.UserRecord]
	projectEditor    store.Editor[store.Project]
	clientEditor     store.Editor[store.Client]
	revocationEditor store.Editor[store.Revocation]
}

func inFiles(f Files) contents {
	log := filestore.NewAuditFile(filestore.AuditFileConfig{Path: f.Audit, FS: f.FS})
	keys := filestore.NewKeyFile(filestore.KeyFileConfig{Path: f.Keys, Hasher: f.Hasher, FS: f.FS})
	users := filestore.NewUserFile(filestore.UserFileConfig{Path: f.Users, FS: f.FS})
	projects := filestore.NewProjectFile(filestore.ProjectFileConfig{Path: f.Projects, FS: f.FS})
	clients := filestore.NewClientFile(filestore.ClientFileConfig{Path: f.Clients, Hasher: f.Hasher, FS: f.FS})
	revocations := filestore.NewRevocationFile(filestore.RevocationFileConfig{Path: f.Revocations, FS: f.FS})
	return contents{
		keys, users, projects, clients, revocations, log,
		keys.Editor(log), users.Editor(log), projects.Editor(log), clients.Editor(log), revocations.Editor(log),
	}
}

func inDatabase(s *postgres.Store) contents {
	return contents{
		s.Keys(), s.Users(), s.Projects(), s.Clients(), s.Revocations(), s.Audit(),
		s.KeyEditor(), s.UserEditor(), s.ProjectEditor(), s.ClientEditor(), s.RevocationEditor(),
	}
}

func put[R any](t testing.TB, editor store.Editor[R], action audit.Action, name string, r *R) {
	t.Helper()
	err := editor.Edit(context.Background(), func(tx store.Tx[R]) error {
		tx.Put(r, &audit.Entry{Actor: "alice", Action: action, Record: name, Via: audit.ViaCLI, Outcome: audit.Done})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var now = time.Date(2026, 11, 1, 10, 0, 0, 5, time.UTC)

// hostile can be names of users and projects.
var hostile = []string{`'; DROP TABLE key_record; --`, `\N`, `\.`, "tab\\tnewline\\n", "\U0001F511", "\u05e9\u05dc\u05d5\u05dd", `{"line"}`, "$1"}

func newKey(t testing.TB, user string) (*store.KeyRecord, authz.Secret) {
	t.Helper()
	id, err := apikey.NewID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret := authz.NewSecret("secret of " + id.String())
	return &store.KeyRecord{
		ID: id.String(), Name: "a key", User: user, Format: apikey.FormatKeyward, Hash: server.Hasher.Digest(secret.Reveal()),
		Created: now, At: now,
	}, secret
}

// secrets are those of the keys that fill makes.
type secrets struct{ active, rotated, ended, revoked, deleted authz.Secret }

// fill makes records of each kind: some changed, rotated, ended and deleted.
func (c *contents) fill(t testing.TB) (s secrets) {
	t.Helper()
	for i, name := range append([]string{"alice"}, hostile...) {
		user := store.UserRecord{Name: name, Password: passwordOf, Scopes: []string{"posts:read"}, Created: now, At: now.Add(time.Duration(i) * time.Second)}
		put(t, c.userEditor, audit.UserCreate, name, &user)
		project := store.Project{Name: name, Description: name, Members: []string{name}, Created: now, At: now}
		put(t, c.projectEditor, audit.ProjectCreate, name, &project)
	}
	bob := store.UserRecord{Name: "bob", Created: now, At: now}
	put(t, c.userEditor, audit.UserCreate, "bob", &bob)
	bob.Delete(now.Add(time.Hour), time.Time{})
	put(t, c.userEditor, audit.UserDelete, "bob", &bob)
	gone := store.Project{Name: "gone", Created: now, At: now}
	gone.Delete(now)
	put(t, c.projectEditor, audit.ProjectDelete, "gone", &gone)
	put(t, c.clientEditor, audit.ClientCreate, "c_AAAAAAAAAAAA", &store.Client{
		ID: "c_AAAAAAAAAAAA", Name: "client", Hash: server.Hasher.Digest("client"), Grants: []oauth.Grant{"client_credentials"}, Created: now, At: now,
	})
	for i := range 3 {
		put(t, c.revocationEditor, audit.RevocationCreate, "", &store.Revocation{TokenID: fmt.Sprint("token ", i), At: now, Until: now.Add(time.Hour)})
	}
	c.fillKeys(t, &s)
	if err := c.audit.Append(context.Background(), &audit.Entry{Actor: hostile[0], Action: audit.KeyCreate, Record: hostile[1], Via: audit.ViaAPI, Outcome: audit.Refused}); err != nil {
		t.Fatal(err)
	}
	return s
}

// passwordOf is the hash of a password.
const passwordOf = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"

func (c *contents) fillKeys(t testing.TB, s *secrets) {
	t.Helper()
	key, secret := newKey(t, "alice")
	put(t, c.keyEditor, audit.KeyCreate, key.ID, key)
	s.rotated, s.ended = secret, authz.NewSecret("ended of "+key.ID)
	key.Previous = []store.PreviousSecret{{Hash: key.Hash, Until: time.Now().Add(time.Hour).UTC()}, {Hash: server.Hasher.Digest(s.ended.Reveal())}}
	s.active = authz.NewSecret("next of " + key.ID)
	key.Hash, key.Rotated, key.At = server.Hasher.Digest(s.active.Reveal()), now.Add(time.Minute), now.Add(time.Minute)
	put(t, c.keyEditor, audit.KeyRotate, key.ID, key)
	for _, end := range []struct {
		secret *authz.Secret
		action audit.Action
		end    func(*store.KeyRecord)
	}{
		{&s.revoked, audit.KeyRevoke, func(r *store.KeyRecord) { r.Revoked = now }},
		{&s.deleted, audit.KeyDelete, func(r *store.KeyRecord) { r.Deleted = now }},
	} {
		key, secret := newKey(t, hostile[0])
		put(t, c.keyEditor, audit.KeyCreate, key.ID, key)
		end.end(key)
		put(t, c.keyEditor, end.action, key.ID, key)
		*end.secret = secret
	}
}
