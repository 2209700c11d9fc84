package storecopy

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"keyward/authz"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
)

// all is what lists of a store return.
type all struct {
	Keys        []store.KeyRecord
	Users       []store.UserRecord
	Projects    []store.Project
	Clients     []store.Client
	Revocations []store.Revocation
	Audit       []audit.Entry
	Ended       store.EndedUsers
}

func (c *contents) all(t testing.TB) (a all) {
	t.Helper()
	ctx := t.Context()
	var errs [7]error
	a.Keys, _, errs[0] = c.keys.List(ctx, store.KeyFilter{}, store.Page{})
	a.Users, _, errs[1] = c.users.List(ctx, store.UserFilter{}, store.Page{})
	a.Projects, _, errs[2] = c.projects.List(ctx, store.ProjectFilter{}, store.Page{})
	a.Clients, _, errs[3] = c.clients.List(ctx, store.ClientFilter{}, store.Page{})
	a.Revocations, _, errs[4] = c.revocations.List(ctx, store.RevocationFilter{}, store.Page{})
	a.Audit, _, errs[5] = c.audit.List(ctx, store.AuditFilter{}, store.Page{})
	a.Ended, errs[6] = c.users.Ended(ctx)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return a
}

func same(t testing.TB, what string, got, want contents) {
	t.Helper()
	if got, want := got.all(t), want.all(t); !reflect.DeepEqual(got, want) {
		t.Errorf("%s has\n%+v\nwant\n%+v", what, got, want)
	}
}

// findsKeys compares what the secrets of fill find.
func (c *contents) findsKeys(t testing.TB, what string, s secrets) {
	t.Helper()
	for _, find := range []struct {
		name   string
		secret authz.Secret
		want   error
	}{
		{"active", s.active, nil}, {"in its grace", s.rotated, nil}, {"rotated away", s.ended, store.ErrRevoked},
		{"revoked", s.revoked, nil}, {"deleted", s.deleted, store.ErrNotFound}, {"unknown", authz.NewSecret("unknown"), store.ErrNotFound},
	} {
		r, err := c.keys.FindBySecret(t.Context(), find.secret)
		if !errors.Is(err, find.want) || find.name == "revoked" && r.Revoked.IsZero() {
			t.Errorf("%s: the secret that is %s: %v, want %v", what, find.name, err, find.want)
		}
	}
}

// TestRoundTrip: what files have, a database has, and other files have again: records
// with their numbers, entries, secrets. Later changes go on from the numbers.
func TestRoundTrip(t *testing.T) {
	from, back := filesIn(t.TempDir(), nil), filesIn(t.TempDir(), nil)
	files := inFiles(from)
	secrets := files.fill(t)
	files.findsKeys(t, "the files", secrets)
	db := openDatabase(t, server.Database(t))
	copied, err := ToDatabase(t.Context(), from, db)
	if want := (Copied{Keys: 3, Users: 10, Projects: 10, Clients: 1, Revocations: 3, Audit: 32}); err != nil || copied != want {
		t.Fatalf("%+v, %v, want %+v", copied, err, want)
	}
	central := inDatabase(db)
	same(t, "the database", central, files)
	central.findsKeys(t, "the database", secrets)

	again, err := ToFiles(t.Context(), db, back)
	if err != nil || again != copied {
		t.Fatalf("%+v, %v", again, err)
	}
	returned := inFiles(back)
	same(t, "the files", returned, central)
	returned.findsKeys(t, "the other files", secrets)
	for name, c := range map[string]contents{"database": central, "files": returned} {
		key, _ := newKey(t, "alice")
		put(t, c.keyEditor, audit.KeyCreate, key.ID, key)
		if key.Seq != int64(copied.Audit)+1 {
			t.Errorf("the next change of the %s has the number %d, want %d", name, key.Seq, copied.Audit+1)
		}
	}
	left, err := os.ReadDir(filepath.Dir(back.Keys))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range left {
		if ext := filepath.Ext(file.Name()); ext != ".jsonl" && ext != ".lock" {
			t.Errorf("%s is left", file.Name())
		}
	}
}

// linesIn returns the last line about each record of a file, in order.
func linesIn(t testing.TB, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))[1:]
	slices.SortFunc(lines, bytes.Compare)
	return lines
}

// TestBytes: lines are copied byte for byte, with members of newer versions, and also
// where they have no number; a line of a batch is as it is outside of one. Of users stays
// what an earlier line has ended.
func TestBytes(t *testing.T) {
	from, back := filesIn(t.TempDir(), nil), filesIn(t.TempDir(), nil)
	write := func(path string, lines ...string) {
		t.Helper()
		text := ""
		for _, line := range lines {
			text += line + "\n"
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const zero = `0000000000000000000000000000000000000000000000000000000000000000`
	key := func(id, more string) string {
		return `"id":"` + id + `",` + more + `"format":"keyward","hash":"` + zero + `","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`
	}
	header := `{"keyward":"keys","versions":[1,7],"hash":"` + server.Hasher.Name() + `","pepper":"` + server.Hasher.PepperID() + `"}`
	write(from.Keys, header, `{`+key("k_AAAAAAAAAAAA", ``), `{"batch":2}`, `{"left":1,`+key("k_BBBBBBBBBBBB", `"color" : { "deep":[1, 2] },`),
		`{`+key("k_CCCCCCCCCCCC", `"moon":true,"must":["moon"],`))
	write(from.Revocations, `{"keyward":"revocations","version":1}`, `{"jti":"one","at":"2026-01-01T00:00:00Z"}`, `{"jti":"two","at":"2026-01-01T00:00:00Z","x":1}`)
	write(from.Users, `{"keyward":"users","version":1}`,
		`{"name":"bob","created":"2026-01-01T00:00:00Z","deleted":"2026-03-01T00:00:00Z","at":"2026-03-01T00:00:00Z"}`,
		`{"name":"bob","created":"2026-04-01T00:00:00Z","at":"2026-04-01T00:00:00Z","y":[]}`)
	db := openDatabase(t, server.Database(t))
	if _, err := ToDatabase(t.Context(), from, db); err != nil {
		t.Fatal(err)
	}
	if _, err := ToFiles(t.Context(), db, back); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		back.Keys:        {`{` + key("k_BBBBBBBBBBBB", `"color" : { "deep":[1, 2] },`), `{` + key("k_AAAAAAAAAAAA", ``), `{` + key("k_CCCCCCCCCCCC", `"moon":true,"must":["moon"],`)},
		back.Revocations: {`{"jti":"one","at":"2026-01-01T00:00:00Z"}`, `{"jti":"two","at":"2026-01-01T00:00:00Z","x":1}`},
		back.Users:       {`{"name":"bob","created":"2026-04-01T00:00:00Z","valid_since":"2026-03-01T00:00:00Z","at":"2026-04-01T00:00:00Z","y":[]}`},
	} {
		slices.Sort(want)
		var got []string
		for _, line := range linesIn(t, path) {
			got = append(got, string(line))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has\n%s\nwant\n%s", path, got, want)
		}
	}
	if ended, err := db.Users().Ended(t.Context()); err != nil || len(ended) != 1 {
		t.Errorf("%v, %v", ended, err)
	}
}

// TestOpenEntry: the entry of a writer that died before it made the change is closed, as
// the next writer does.
func TestOpenEntry(t *testing.T) {
	from := filesIn(t.TempDir(), nil)
	log := filestore.NewAuditFile(filestore.AuditFileConfig{Path: from.Audit})
	key, _ := newKey(t, "alice")
	entry := &audit.Entry{Actor: "alice", Action: audit.KeyCreate, Record: key.ID, Via: audit.ViaCLI, Outcome: audit.Done}
	if err := log.Change(t.Context(), entry, func(int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	db := openDatabase(t, server.Database(t))
	if _, err := ToDatabase(t.Context(), from, db); err != nil {
		t.Fatal(err)
	}
	central := inDatabase(db)
	if got := central.all(t).Audit; len(got) != 1 || got[0].Outcome != audit.NotDone {
		t.Errorf("%+v", got)
	}
}
