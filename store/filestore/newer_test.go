package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/records"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
)

// lastLine is the last line of the file, without its newline.
func lastLine(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	return all[len(all)-1]
}

func firstLine(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return first
}

// keyLine is a line about a key as a later version may write it.
func keyLine(r store.KeyRecord, members string) string {
	return fmt.Sprintf(`{"id":%q,"format":"keyward","hash":"%x","created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z"%s}`+"\n", r.ID, r.Hash[:], members)
}

// TestNewerRevocationEndsTheKey: a revocation with a member that this version does
// not know is a revocation. It was stepped over once, and the key went on.
func TestNewerRevocationEndsTheKey(t *testing.T) {
	f, first := prepare(t)
	f.follow(nil)
	f.append(keyLine(first, `,"revoked":"2026-01-02T00:00:00Z","reason":{"code":"leaked"}`))
	within(t, time.Second, "revoked", func() bool { return f.state(first) == "revoked" })
	if _, failed, bad := f.seen.get(); failed+bad > 0 {
		t.Errorf("%d errors, %d bad lines", failed, bad)
	}
}

// TestUnsupportedKey: a line that this version must not interpret ends its key,
// whatever else it lacks, until one that it supports.
func TestUnsupportedKey(t *testing.T) {
	for name, line := range map[string]func(store.KeyRecord) string{
		"all members": func(r store.KeyRecord) string { return keyLine(r, `,"frozen":true,"must":["frozen"]`) },
		"an id alone": func(r store.KeyRecord) string { return fmt.Sprintf(`{"must":["frozen"],"id":%q}`+"\n", r.ID) },
		"another form": func(r store.KeyRecord) string {
			return fmt.Sprintf(`{"must":["hashes"],"id":%q,"hash":["a"],"paths":["of another kind"],"format":"v9","at":"2026-01-02T00:00:00Z"}`+"\n", r.ID)
		},
		"in a batch": func(r store.KeyRecord) string {
			return fmt.Sprintf(`{"batch":2}`+"\n"+`{"left":1,"must":["frozen"],"id":%q}`+"\n"+`{"must":["frozen"],"id":"k_zzzzzzzzzzzz"}`+"\n", r.ID)
		},
		"the hash of another key": func(r store.KeyRecord) string {
			return strings.Replace(goodKey, "{", `{"must":["x"],`, 1) + "\n" + strings.Replace(strings.Replace(goodKey, "{", `{"must":["x"],`, 1), "k_0123456789ab", r.ID, 1) + "\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, first := prepare(t)
			f.follow(nil)
			other := f.create("other")
			f.append(line(first))
			within(t, time.Second, "ended", func() bool { return f.state(first) == "revoked" })
			if f.state(other) != "active" {
				t.Errorf("another key is %s", f.state(other))
			}
			if _, failed, bad := f.seen.get(); failed+bad > 0 {
				t.Errorf("%d errors, %d bad lines", failed, bad)
			}
			got, err := f.journal.Get(context.Background(), first.ID)
			if err != nil || !got.Unsupported || got.Ended() {
				t.Errorf("%+v, %v", got, err)
			}
			again := keyindex.NewKeys()
			readOnce(t, KeyFeed{apikey.NewHasher(authz.Secret{}), unwatched(f.path, nil)}, again)
			if key, err := again.Find(first.Hash, time.Now()); err != nil || key.State != keyindex.Revoked {
				t.Errorf("after a restart: %+v, %v", key, err)
			}
			f.append(keyLine(first, ""))
			within(t, time.Second, "in force again", func() bool { return f.state(first) == "active" })
		})
	}
}

// TestUnsupportedKeyIsKept: commands of this version lose nothing of what a later
// one wrote.
func TestUnsupportedKeyIsKept(t *testing.T) {
	ctx := context.Background()
	f, first := prepare(t)
	second, third := f.create("second"), f.create("third")
	const raw = `"frozen" : { "by":"\u00e9" , "n":[1.50e1,null] },"must":["frozen"]`
	unsupported := strings.TrimSuffix(keyLine(first, ","+raw), "\n")
	f.append(`{"batch":2}` + "\n" + `{"left":1,` + unsupported[1:] + "\n" + keyLine(second, `,"team": "ops"`))
	if _, _, err := f.journal.Rotate(ctx, first.ID, store.AnyVersion, 0); !errors.Is(err, store.ErrUnsupported) {
		t.Errorf("rotated: %v", err)
	}
	if _, _, err := f.journal.Rotate(ctx, second.ID, store.AnyVersion, time.Hour); err != nil || !strings.Contains(lastLine(t, f.path), `,"team": "ops"}`) {
		t.Errorf("%v; rotated into %s", err, lastLine(t, f.path))
	}
	if _, err := f.journal.Revoke(ctx, third.ID, store.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if _, err := f.journal.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	text := string(f.read())
	if !strings.Contains(text, "\n"+unsupported+"\n") || !strings.Contains(text, `,"team": "ops"}`) {
		t.Errorf("compacted into\n%s", text)
	}
	revoked, err := f.journal.Revoke(ctx, first.ID, store.AnyVersion)
	if last := lastLine(t, f.path); err != nil || !revoked.Unsupported || !strings.Contains(last, raw) || !strings.Contains(last, `"revoked":"`) || !strings.Contains(last, fmt.Sprintf(`"hash":"%x"`, first.Hash[:])) {
		t.Errorf("%+v, %v; revoked into %s", revoked, err, last)
	}
	if _, err := f.journal.Delete(ctx, first.ID, store.AnyVersion); err != nil {
		t.Fatal(err)
	}
	last := lastLine(t, f.path)
	if _, err := f.journal.Compact(ctx); err != nil || !strings.Contains(string(f.read()), last) {
		t.Errorf("%v: compacted away: %s", err, last)
	}
}

// TestSecretOfUnsupportedKey: it is found, and cannot be given to another key.
func TestSecretOfUnsupportedKey(t *testing.T) {
	ctx := context.Background()
	c := newJournalFixture(t)
	r, secret := c.create(store.KeyParams{Name: "n"})
	appendTo(t, c.path, fmt.Sprintf(`{"must":["x"],"id":%q}`+"\n", r.ID))
	if got, err := c.FindBySecret(ctx, secret); err != nil || got.ID != r.ID || !got.Unsupported {
		t.Errorf("%+v, %v", got, err)
	}
	_, err := c.Import(ctx, []store.ImportedKey{{Line: 1, Params: &store.KeyParams{Name: "i"}, Hash: r.Hash, Format: apikey.FormatRaw}})
	if !errors.Is(err, store.ErrDuplicate) {
		t.Errorf("imported: %v", err)
	}
}

// TestHeaders is which files this version reads, and what it says of the others.
func TestHeaders(t *testing.T) {
	for text, want := range map[string]error{
		`{"keyward":"keys","version":1,"hash":"sha256"}`:                                          nil,
		`{"keyward":"keys","versions":[1,1],"hash":"sha256"}`:                                     nil,
		`{"keyward":"keys","versions":[2,2],"hash":"sha256"}`:                                     nil,
		`{"keyward":"keys","versions":[2,9],"epoch":{"n":1},"hash":"sha256"}`:                     nil,
		`{"keyward":"keys","versions":[2,9],"epoch":1,"must":["hash"],"hash":"sha256"}`:           nil,
		`{"keyward":"keys","versions":[2,9],"shard":"x","must":["hash","shard"],"hash":"sha256"}`: store.ErrUnsupported,
		`{"keyward":"keys","versions":[3,3],"hash":"sha256"}`:                                     store.ErrUnsupported,
		`{"keyward":"keys","versions":[3,4],"hash":"blake3","must":["salt"],"salt":"x"}`:          store.ErrUnsupported,
		`{"keyward":"users","versions":[3,3]}`:                                                    journal.ErrWrongFile,
		`{"keyward":"keys","version":2,"hash":"sha256"}`:                                          journal.ErrWrongFile,
		`{"keyward":"keys","version":1,"versions":[2,2],"hash":"sha256"}`:                         journal.ErrWrongFile,
		`{"keyward":"keys","hash":"sha256"}`:                                                      journal.ErrWrongFile,
		`{"keyward":"keys","versions":[2],"hash":"sha256"}`:                                       journal.ErrWrongFile,
		`{"keyward":"keys","versions":[2,2,2],"hash":"sha256"}`:                                   journal.ErrWrongFile,
		`{"keyward":"keys","versions":[2,1],"hash":"sha256"}`:                                     journal.ErrWrongFile,
		`{"keyward":"keys","versions":[0,2],"hash":"sha256"}`:                                     journal.ErrWrongFile,
		`{"keyward":"keys","versions":[2,2],"must":"x","hash":"sha256"}`:                          journal.ErrWrongFile,
		`{"keyward":"keys","versions":[2,2],"x":1,"x":1,"hash":"sha256"}`:                         journal.ErrWrongFile,
		`{"keyward":"keys","versions":[2,2],"Hash":"sha256"}`:                                     journal.ErrWrongFile,
		`{"keyward":"keys","versions":[2,2],"hash":"blake3"}`:                                     journal.ErrWrongFile,
		`{"keyward":"keys","versions":[2,2],"hash":"hmac-sha256","pepper":"0123"}`:                journal.ErrWrongFile,
		`{"keyward":"keys","versions":[2,2],"hash":"hmac-sha256","pepper":"01234567"}`:            fileheader.ErrPepper,
	} {
		files := newMemFS()
		files.entries[memPath] = &memNode{data: []byte(text + "\n" + goodKey + "\n")}
		hasher := apikey.NewHasher(authz.Secret{})
		keys := keyindex.NewKeys()
		readOnce(t, KeyFeed{hasher, unwatched(memPath, files)}, keys)
		_, _, err := newKeys(KeyFileConfig{Path: memPath, Hasher: hasher, FS: files}).List(context.Background(), store.KeyFilter{}, store.Page{})
		if !errors.Is(err, want) || (keys.Ready() == nil) != (want == nil) || want != nil && !errors.Is(keys.Ready(), want) {
			t.Errorf("%s: %v, and a server says %v; want %v", text, err, keys.Ready(), want)
		}
	}
}

// TestHeaderIsRenewed: an append leaves the header as it is; a rewrite says the
// versions, and keeps what this one does not know.
func TestHeaderIsRenewed(t *testing.T) {
	for old, renewed := range map[string]string{
		`{"keyward":"keys","version":1,"hash":"sha256"}`:                                 `{"keyward":"keys","versions":[2,2],"hash":"sha256"}`,
		`{"keyward":"keys","versions":[2,5],"epoch": 7,"must":["hash"],"hash":"sha256"}`: `{"keyward":"keys","versions":[2,5],"hash":"sha256","epoch": 7,"must":["hash"]}`,
	} {
		path := filepath.Join(t.TempDir(), "keys.jsonl")
		if err := os.WriteFile(path, []byte(old+"\n"+goodKey+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		file := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{})})
		if _, err := file.Revoke(context.Background(), "k_0123456789ab", store.AnyVersion); err != nil || firstLine(t, path) != old {
			t.Errorf("%v: an append makes it %s", err, firstLine(t, path))
		}
		if _, err := file.Compact(context.Background()); err != nil || firstLine(t, path) != renewed {
			t.Errorf("%v: a rewrite makes it %s", err, firstLine(t, path))
		}
	}
	path := filepath.Join(t.TempDir(), "users.jsonl")
	if _, err := newUsers(UserFileConfig{Path: path}, nil).Set(context.Background(), "alice", store.AnyVersion, records.UserPatch{}); err != nil || firstLine(t, path) != `{"keyward":"users","versions":[2,2]}` {
		t.Errorf("%v: a new file begins with %s", err, firstLine(t, path))
	}
}

func TestUnsupportedUser(t *testing.T) {
	ctx := context.Background()
	file, path := newUserFile(t)
	if _, err := file.Set(ctx, "alice", store.AnyVersion, records.UserPatch{Scopes: &[]string{"read"}}); err != nil {
		t.Fatal(err)
	}
	const raw = `"cidrs" : ["192.0.2.0/24"],"must":["cidrs"],"scopes":["of another kind"],"created":"2026-01-01T00:00:00Z"`
	appendTo(t, path, `{"name":"alice","valid_since":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z",`+raw+"}\n")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	users := usersOf(t, string(text))
	if alice, found := users.Lookup("alice"); !found || !alice.Disabled || len(alice.Scopes.String()) > 0 || alice.Since(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", alice)
	}
	no, yes, password := false, true, authz.NewSecret("correct horse")
	for what, patch := range map[string]records.UserPatch{
		"enabled": {Disabled: &no}, "scopes": {Scopes: &[]string{}}, "paths, disabled": {Paths: &[]string{}, Disabled: &yes}, "a password": {Password: &password}, "nothing": {},
	} {
		if _, err := file.Set(ctx, "alice", store.AnyVersion, patch); !errors.Is(err, store.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := file.Import(ctx, []store.ImportedUser{{Line: 1, Name: "alice", Password: "$2y$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"}}); !errors.Is(err, store.ErrUnsupported) {
		t.Errorf("imported: %v", err)
	}
	if r, err := file.Set(ctx, "alice", store.AnyVersion, records.UserPatch{Disabled: &yes}); err != nil || !r.Disabled || !strings.Contains(lastLine(t, path), raw) {
		t.Errorf("%+v, %v; written as %s", r, err, lastLine(t, path))
	}
	if err := file.Delete(ctx, "alice", store.AnyVersion, time.Time{}); err != nil || !strings.Contains(lastLine(t, path), raw) || !strings.Contains(lastLine(t, path), `"deleted":"`) {
		t.Errorf("%v; deleted as %s", err, lastLine(t, path))
	}
	if _, err := file.Get(ctx, "alice"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

// TestUnsupportedRevocations: what such a line names is revoked; if that is not
// known, no token is accepted.
func TestUnsupportedRevocations(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		line                   string
		token, subject, others bool
	}{
		"a token, with a member":  {`{"jti":"t","origin":"console","at":"2026-01-02T00:00:00Z"}`, true, false, false},
		"a token, must":           {`{"jti":"t","must":["client"],"client":"c"}`, true, false, false},
		"a subject, must":         {`{"subject":"alice","issued_before":"2999-01-01T00:00:00Z","must":["client"]}`, false, true, false},
		"a subject at all times":  {`{"subject":"alice","grant":"g","at":"2026-01-02T00:00:00Z"}`, false, true, false},
		"a token and a subject":   {`{"jti":"t","subject":"alice","must":["client"]}`, true, true, false},
		"all before a time, must": {`{"issued_before":"2999-01-01T00:00:00Z","must":["client"]}`, true, true, true},
		"another kind":            {`{"grant":"g","at":"2026-01-02T00:00:00Z"}`, true, true, true},
		"nothing, must":           {`{"must":["client"],"client":"c"}`, true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := followRevocations(t, func(path string) {
				if err := os.WriteFile(path, []byte(revocationsHead), 0o600); err != nil {
					t.Fatal(err)
				}
			})
			changes := r.tokens.Changes()
			appendTo(t, r.path, c.line+"\n")
			within(t, time.Second, "a change", func() bool { return r.tokens.Changes() != changes })
			for what, got := range map[string]bool{
				"t": c.token == r.tokens.Revoked(keyindex.Token{ID: "t", Subject: "bob", IssuedAt: now}), "alice": c.subject == r.tokens.Revoked(keyindex.Token{ID: "u", Subject: "alice", IssuedAt: now}), "bob": c.others == r.tokens.Revoked(keyindex.Token{ID: "u", Subject: "bob", IssuedAt: now}),
			} {
				if !got {
					t.Errorf("%s: not as it must be", what)
				}
			}
			unready := name == "another kind" || name == "nothing, must"
			if err := r.tokens.Ready(); errors.Is(err, store.ErrUnsupported) != unready || (err != nil) != unready {
				t.Errorf("Ready says %v", err)
			}
			if r.seen.bad+r.seen.failed > 0 {
				t.Errorf("%+v", r.seen)
			}
		})
	}
}

// TestUnsupportedRevocationIsMissed: a file without it undoes it.
func TestUnsupportedRevocationIsMissed(t *testing.T) {
	tokens := keyindex.NewRevocations()
	old := tokens.Begin()
	if _, err := old.Apply(&store.Revocation{Unsupported: true}); err != nil {
		t.Fatal(err)
	}
	tokens.Commit(old)
	if tokens.Undone(tokens.Begin(), time.Now()) == nil {
		t.Error("nothing is missing")
	}
	next := tokens.Begin()
	tokens.Commit(next)
	if err := tokens.Ready(); err != nil {
		t.Errorf("without it: %v", err)
	}
}
