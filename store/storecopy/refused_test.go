package storecopy

import (
	"errors"
	"os"
	"strings"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// header returns the first line of a key file.
func header(h fileheader.Header) string { return string(h.Journal().Line) }

// TestNotToDatabase: what is not copied to a database.
func TestNotToDatabase(t *testing.T) {
	other := apikey.NewHasher(authz.NewSecret("another pepper of sixteen"))
	for _, c := range []struct {
		name string
		bad  func(from *Files, cfg database.Config)
		want error // errAny: any
		says string
	}{
		{"a key in the database", func(_ *Files, cfg database.Config) {
			key, _ := newKey(t, "alice")
			put(t, openDatabase(t, cfg).KeyEditor(), audit.KeyCreate, key.ID, key)
		}, postgres.ErrNotEmpty, "key_record"},
		{"a user in the database", func(_ *Files, cfg database.Config) {
			put(t, openDatabase(t, cfg).UserEditor(), audit.UserCreate, "alice", &store.UserRecord{Name: "alice", Created: now, At: now})
		}, postgres.ErrNotEmpty, "user_record"},
		{"an entry in the database", func(_ *Files, cfg database.Config) {
			entry := &audit.Entry{Actor: "alice", Action: audit.KeyCreate, Via: audit.ViaCLI, Outcome: audit.Refused}
			if err := openDatabase(t, cfg).Audit().Append(t.Context(), entry); err != nil {
				t.Fatal(err)
			}
		}, postgres.ErrNotEmpty, "audit"},
		{"a database whose entries were removed", func(_ *Files, cfg database.Config) {
			postgrestest.Exec(t, cfg, `UPDATE meta SET last_seq = 5`)
		}, postgres.ErrNotEmpty, "5 changes"},
		{"a database of another pepper", func(_ *Files, cfg database.Config) {
			postgrestest.Exec(t, cfg, `UPDATE meta SET pepper = 'other'`)
		}, database.ErrPepper, ""},
		{"files of another configuration's pepper", func(from *Files, _ database.Config) {
			from.Hasher = other
			write(t, from.Keys, header(fileheader.Keys(other)))
		}, database.ErrPepper, ""},
		{"keys of another pepper", func(from *Files, _ database.Config) { write(t, from.Keys, header(fileheader.Keys(other))) }, fileheader.ErrPepper, "keys.jsonl"},
		{"clients of another pepper", func(from *Files, _ database.Config) { write(t, from.Clients, header(fileheader.Clients(other))) }, fileheader.ErrPepper, "clients.jsonl"},
		{"a local copy", func(from *Files, _ database.Config) {
			write(t, from.Users, header(fileheader.Users().Copy("4711")))
		}, ErrCopy, "users.jsonl"},
		{"a file that lost its content", func(from *Files, _ database.Config) {
			write(t, from.Users+".lock", `{"keyward":"lock","version":1,"written":true}`+"\n")
		}, journal.ErrDamaged, "users.jsonl"},
		{"a line that cannot be read", func(from *Files, _ database.Config) {
			write(t, from.Users, header(fileheader.Users())+`{"name":"alice"}`+"\n")
		}, errAny, "users.jsonl:2"},
		{"a key with a path that no reader accepts", func(from *Files, _ database.Config) {
			write(t, from.Keys, header(fileheader.Keys(server.Hasher))+`{"id":"k_AAAAAAAAAAAA","paths":["/a/../b"],"format":"keyward","hash":"`+strings.Repeat("0", 64)+
				`","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`+"\n")
		}, errAny, "keys.jsonl:2"},
		{"a user with a path that no reader accepts", func(from *Files, _ database.Config) {
			write(t, from.Users, header(fileheader.Users())+`{"name":"alice","paths":["/a/../b"],"created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`+"\n")
		}, errAny, "users.jsonl:2"},
		{"an entry that is not one", func(from *Files, _ database.Config) {
			write(t, from.Audit, header(fileheader.Audit())+`{"seq":1}`+"\n"+`{"seq":2,"time":"2026-01-01T00:00:00Z","action":"read","via":"cli","outcome":"refused"}`+"\n")
		}, errAny, "audit.jsonl:2"},
		{"a schema that this program cannot serve", func(_ *Files, cfg database.Config) {
			postgrestest.Exec(t, cfg, `UPDATE meta SET schema_version = 99, serves_from = 99`)
		}, database.ErrSchema, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, from := server.Database(t), filesIn(t.TempDir(), nil)
			c.bad(&from, cfg)
			_, err := ToDatabase(t.Context(), from, openDatabase(t, cfg))
			if err == nil || c.want != errAny && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %v with %q", err, c.want, c.says)
			}
		})
	}
}

// errAny stands for any error.
var errAny = errors.New("any error")

// TestNotToFiles: what is not copied to files.
func TestNotToFiles(t *testing.T) {
	db, _ := filled(t)
	entry := `{"seq":1,"time":"2026-01-01T00:00:00Z","action":"read","via":"cli","outcome":"refused"}` + "\n"
	for _, c := range []struct {
		name string
		bad  func(to *Files)
		want error
		says string
	}{
		{"a user in the files", func(to *Files) {
			write(t, to.Users, header(fileheader.Users())+`{"name":"alice","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`+"\n")
		}, ErrNotEmpty, "users.jsonl"},
		{"a header in the files", func(to *Files) { write(t, to.Keys, header(fileheader.Keys(server.Hasher))) }, ErrNotEmpty, "keys.jsonl"},
		{"an entry in the log", func(to *Files) { write(t, to.Audit, header(fileheader.Audit())+entry) }, ErrNotEmpty, "audit.jsonl"},
		{"a part of the log", func(to *Files) {
			write(t, strings.Replace(to.Audit, ".jsonl", ".000000000001.jsonl", 1), header(fileheader.Audit())+entry)
		}, ErrNotEmpty, "audit.000000000001.jsonl"},
		{"a local copy", func(to *Files) { write(t, to.Keys, header(fileheader.Keys(server.Hasher).Copy("4711"))) }, ErrCopy, "keys.jsonl"},
		{"another file", func(to *Files) { write(t, to.Keys, "a text\n") }, journal.ErrWrongFile, "keys.jsonl"},
		{"another pepper", func(to *Files) { to.Hasher = apikey.NewHasher(authz.Secret{}) }, database.ErrPepper, ""},
		{"no file of users", func(to *Files) { to.Users = "" }, errNoFile, "users.file"},
		{"no log", func(to *Files) { to.Audit = "" }, errNoFile, "audit.file"},
		{"no file", func(to *Files) { *to = Files{Hasher: server.Hasher} }, errNoFile, ""},
		{"no directory", func(to *Files) { to.Keys = strings.Replace(to.Keys, "keys.jsonl", "missing/keys.jsonl", 1) }, os.ErrNotExist, "missing"},
		{"an unknown mark of an interrupted copy", func(to *Files) { write(t, to.Keys+writtenSuffix, "{") }, errAny, writtenSuffix},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := filesIn(t.TempDir(), nil)
			c.bad(&to)
			_, err := ToFiles(t.Context(), db, to)
			if err == nil || c.want != errAny && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %v with %q", err, c.want, c.says)
			}
		})
	}
	to := filesIn(t.TempDir(), nil)
	to.Projects, to.Clients = "", ""
	if copied, err := ToFiles(t.Context(), db, to); err != nil || copied.Keys != 1 {
		t.Errorf("without files for which the database has nothing: %+v, %v", copied, err)
	}
}
