package filestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/records"
	"keyward/store"
	"keyward/store/filestore/keytable"
)

// TestCatalogAtTheSameTime: while keys are changed, and the file is compacted, each
// reader sees every change that was done before it reads.
func TestCatalogAtTheSameTime(t *testing.T) {
	const writers, changes = 4, 25
	f := cataloged(t, filepath.Join(t.TempDir(), "keys.jsonl"))
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			user := fmt.Sprint("user", w)
			for i := range changes {
				r, _, err := f.Create(t.Context(), store.KeyParams{User: user})
				if err == nil {
					_, err = f.Get(t.Context(), r.ID)
				}
				if err == nil && i%10 == 5 {
					_, err = f.Compact(t.Context())
				}
				all, _, listed := f.List(t.Context(), store.KeyFilter{User: user}, store.Page{})
				if err := errors.Join(err, listed); err != nil || len(all) != i+1 {
					t.Errorf("%d keys of %s, want %d, %v", len(all), user, i+1, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestCatalogInRandomOrder: many keys of one time, as an import makes them, are in the
// order of their ids.
func TestCatalogInRandomOrder(t *testing.T) {
	plain := newKeys(KeyFileConfig{Path: filepath.Join(t.TempDir(), "keys.jsonl"), Hasher: apikey.NewHasher(authz.Secret{})})
	all := make([]store.ImportedKey, 1000)
	for i := range all {
		all[i] = store.ImportedKey{Line: i, Params: &store.KeyParams{}, Hash: digestAt(i), Format: apikey.FormatRaw}
	}
	if _, err := plain.Import(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	want, _, err := plain.List(t.Context(), store.KeyFilter{}, store.Page{NewestFirst: true})
	if err != nil {
		t.Fatal(err)
	}
	f, page := cataloged(t, plain.KeyFile.lines.Path), store.Page{NewestFirst: true, Limit: 300}
	var ids []string
	for {
		records, next, err := f.List(t.Context(), store.KeyFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			ids = append(ids, records[i].ID)
		}
		if page.After = next; next == "" {
			break
		}
	}
	for i := range want {
		if i >= len(ids) || ids[i] != want[i].ID {
			t.Fatalf("%d keys, not in the order of the %d that are there", len(ids), len(want))
		}
	}
}

// TestCatalogOfAMovedLine: a line that is not where the catalog has it, since another
// program wrote into the file unseen, is never taken for the key's.
func TestCatalogOfAMovedLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	writeKeys(t, path, 3)
	f := cataloged(t, path)
	if err := f.LoadCatalog(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(content), "\n")
	lines[2], lines[3] = lines[3], lines[2] // of equal length
	err = errors.Join(os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600), os.Chtimes(path, info.ModTime(), info.ModTime()))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := f.Get(t.Context(), "k_000000000001"); !errors.Is(err, keytable.ErrMoved) {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := f.Get(t.Context(), "k_000000000001"); err != nil || r.ID != "k_000000000001" {
		t.Errorf("the file was not read again: %+v, %v", r, err)
	}
}

// TestKeptUsers: users in memory are those of the file, after every change of it.
func TestKeptUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.jsonl")
	plain, kept := newUsers(UserFileConfig{Path: path}, nil), newUsers(UserFileConfig{Path: path, Keep: true}, nil)
	password := authz.NewSecret("correct horse")
	alike := func(what string) {
		t.Helper()
		for _, name := range []string{"alice", "bob"} {
			want, errWant := plain.Get(t.Context(), name)
			got, err := kept.Get(t.Context(), name)
			if fmt.Sprintf("%+v %v", got, err) != fmt.Sprintf("%+v %v", want, errWant) || got.Password != "" {
				t.Errorf("%s: %+v, %v; want %+v, %v", what, got, err, want, errWant)
			}
		}
		want, _, errWant := plain.List(t.Context(), store.UserFilter{}, store.Page{})
		got, _, err := kept.List(t.Context(), store.UserFilter{}, store.Page{})
		if fmt.Sprintf("%+v %v", got, err) != fmt.Sprintf("%+v %v", want, errWant) {
			t.Errorf("%s: %+v, %v; want %+v, %v", what, got, err, want, errWant)
		}
	}
	set := func(f *changedUsers, name string, patch records.UserPatch) {
		t.Helper()
		if _, err := f.Set(t.Context(), name, store.AnyVersion, patch); err != nil {
			t.Fatal(err)
		}
		alike("after " + name)
	}
	alike("no file")
	set(plain, "alice", records.UserPatch{Password: &password})
	set(kept, "bob", records.UserPatch{Paths: &[]string{"/a"}})
	got, err := kept.Get(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	got.Paths[0] = "/" // of the caller's own
	alike("a record changed by its reader")
	if err := plain.Delete(t.Context(), "bob", store.AnyVersion, time.Time{}); err != nil {
		t.Fatal(err)
	}
	alike("deleted")
	appendTo(t, path, `{"name":"alice","paths":["a"],"created":"2026-01-02T00:00:00Z","at":"2026-01-02T00:00:00Z"}`+"\n")
	alike("a line with an invalid path")
	if _, _, err := kept.List(t.Context(), store.UserFilter{}, store.Page{}); err == nil || !strings.Contains(err.Error(), path+":5: ") {
		t.Errorf("a list with a line that cannot be read: %v", err)
	}
}
