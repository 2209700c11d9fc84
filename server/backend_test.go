package server_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/internal/recordfile"
	"keyward/internal/records"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
)

// inPostgres means that the tests of the console run on a database, and no others. `make
// test` runs them on files and on a database.
var inPostgres = os.Getenv("KEYWARD_TEST_STORE") == "postgres"

var postgresServer = postgrestest.Server{Hasher: apikey.NewHasher(authz.Secret{})}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &postgresServer)) }

// aboutFiles is for a test of which one of the files is the subject.
func aboutFiles(t *testing.T) {
	t.Helper()
	if inPostgres {
		t.Skip("about files")
	}
}

// backend is where a console has its records: files in its directory, or a database.
type backend struct {
	dir    string
	config database.Config
	db     *database.DB // nil: files
	url    string
}

func newBackend(t *testing.T, dir string) *backend {
	t.Helper()
	b := &backend{dir: dir}
	if inPostgres {
		b.useDatabase(t, postgresServer.Emptied(t))
		if err := os.WriteFile(filepath.Join(dir, signingSecret), bytes.Repeat([]byte("s"), 32), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *backend) useDatabase(t *testing.T, cfg database.Config) {
	t.Helper()
	var err error
	if b.db, err = database.Open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.db.Close)
	b.config, b.url = cfg, cfg.URL.String()
}

var onlyInDatabase = regexp.MustCompile(`(?m)^(audit|state|projects|usage): *\{file: [^,}]*,? *(.*)\}$`)

// signingSecret is the file with the secret of the issuer's keys in a database.
const signingSecret = "signing-secret"

var keysDir = regexp.MustCompile(`keys_dir: [^,}]*`)

// configure returns the configuration with what says where the records are.
func (b *backend) configure(text string) string {
	if b.db == nil {
		return text
	}
	text = keysDir.ReplaceAllString(text, "keys_secret_file: "+filepath.Join(b.dir, signingSecret))
	return onlyInDatabase.ReplaceAllString(text, "$1: {$2}") + "store: {url: \"" + b.url + "\"}\n"
}

// keys makes keys as at that time.
func (b *backend) keys(now func() time.Time) *records.Keys {
	hasher := apikey.NewHasher(authz.Secret{})
	if b.db != nil {
		return records.NewKeys(postgres.New(postgres.Config{DB: b.db}).KeyEditor(), hasher, now, nil)
	}
	return recordfile.NewKeyFile(filestore.KeyFileConfig{Path: filepath.Join(b.dir, "keys.jsonl"), Hasher: hasher, Now: now}).Keys
}

func (b *backend) keyReader() store.KeyReader {
	if b.db != nil {
		return postgres.New(postgres.Config{DB: b.db}).Keys()
	}
	return filestore.NewKeyFile(filestore.KeyFileConfig{Path: filepath.Join(b.dir, "keys.jsonl"), Hasher: apikey.NewHasher(authz.Secret{})})
}

func (b *backend) users() *records.Users {
	if b.db != nil {
		return records.NewUsers(postgres.New(postgres.Config{DB: b.db}).UserEditor(), nil)
	}
	return recordfile.NewUserFile(filestore.UserFileConfig{Path: filepath.Join(b.dir, "users.jsonl")}, nil).Users
}

// state is the server's state, which a test has open beside it.
func (b *backend) state(t *testing.T, now func() time.Time) *state.DB {
	t.Helper()
	const idle, longest = 30 * time.Minute, 12 * time.Hour
	if b.db != nil {
		return state.OpenShared(state.SharedConfig{Database: b.db, SessionIdle: idle, SessionMax: longest, Now: now})
	}
	db, err := state.Open(context.Background(), state.Config{Path: filepath.Join(b.dir, "keyward.db"), SessionIdle: idle, SessionMax: longest, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func (b *backend) audit() store.AuditLog {
	if b.db != nil {
		return postgres.New(postgres.Config{DB: b.db}).Audit()
	}
	return filestore.NewAuditFile(filestore.AuditFileConfig{Path: filepath.Join(b.dir, "audit.jsonl")})
}
