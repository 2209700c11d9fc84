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

	"golang.org/x/crypto/bcrypt"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/records"
	"keyward/store"
	"keyward/store/importer"
)

// TestNewNamesOfFiles: the rules of names hold in each command that makes something.
func TestNewNamesOfFiles(t *testing.T) {
	file, _ := newUserFile(t)
	journal := newKeys(KeyFileConfig{Path: filepath.Join(t.TempDir(), "keys.jsonl"), Hasher: apikey.NewHasher(authz.Secret{})})
	for name, valid := range map[string]bool{
		"alice": true, "ünï": true, "漢字": true, strings.Repeat("x", 255): true,
		" alice": false, "a  b": false, "ali\u200bce": false, "a\nb": false, "cafe\u0301": false, "\xff": false, strings.Repeat("x", 256): false,
	} {
		for what, err := range map[string]error{
			"user":      second(file.Set(context.Background(), name, "", records.UserPatch{})),
			"name":      second3(journal.Create(context.Background(), store.KeyParams{Name: name})),
			"project":   second3(journal.Create(context.Background(), store.KeyParams{Name: "x", Project: name})),
			"key's":     second3(journal.Create(context.Background(), store.KeyParams{Name: "x", User: name})),
			"htpasswd":  second(importHtpasswd(file, strings.NewReader("root:"+cheapHash+"\n"+name+":"+cheapHash))),
			"import":    second(importInto(journal, importer.KeyFormat{}, strings.NewReader("key-"+fmt.Sprintf("%x", name)), store.KeyParams{Name: "x", User: name})),
			"of a hash": second(importInto(journal, importer.KeyFormat{Hashed: true}, strings.NewReader("sha256:00"), store.KeyParams{Name: name})),
		} {
			if what == "of a hash" && valid {
				continue // the hash is not one
			}
			if (err == nil) != valid || err != nil && !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s %+q: %v", what, name, err)
			}
		}
	}
	for _, name := range []string{"", "k_8ENbdXlcXqgH", "k_", "c_x"} {
		if _, err := file.Set(context.Background(), name, "", records.UserPatch{}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("a user %q: %v", name, err)
		}
	}
	if _, _, err := journal.Create(context.Background(), store.KeyParams{Name: "x", User: "c_x"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a key of c_x: %v", err)
	}
	if _, err := file.Set(context.Background(), "x", "", records.UserPatch{Scopes: &[]string{"a b"}}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("an invalid scope: %v", err)
	}
}

const cheapHash = "$2y$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"

func second[T any](_ T, err error) error { return err }

func second3[T, U any](_ T, _ U, err error) error { return err }

// TestOldNamesCanBeChanged: a user that an older version made can be disabled
// and deleted, and not made again.
func TestOldNamesCanBeChanged(t *testing.T) {
	for _, name := range []string{"alice ", "ali\u200bce", "cafe\u0301", "k_8ENbdXlcXqgH"} {
		file, path := newUserFile(t)
		if _, err := file.Set(context.Background(), "first", "", records.UserPatch{}); err != nil {
			t.Fatal(err)
		}
		appendTo(t, path, fmt.Sprintf(`{"name":"%s","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`+"\n", name))
		yes := true
		if r, err := file.Set(context.Background(), name, "", records.UserPatch{Disabled: &yes}); err != nil || !r.Disabled {
			t.Errorf("disabling %+q: %v", name, err)
		}
		if err := file.Delete(context.Background(), name, "", time.Time{}); err != nil {
			t.Errorf("deleting %+q: %v", name, err)
		}
		if _, err := file.Set(context.Background(), name, "", records.UserPatch{}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("making %+q again: %v", name, err)
		}
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString(text)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestImportWithByteOrderMark: the first user of the file is the one meant.
func TestImportWithByteOrderMark(t *testing.T) {
	file, _ := newUserFile(t)
	old := authz.NewSecret("old password")
	if _, err := file.Set(context.Background(), "alice", "", records.UserPatch{Password: &old}); err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("new password"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	got, err := importHtpasswd(file, strings.NewReader("\ufeffalice:"+string(hash)+"\r\nbob:"+cheapHash+"\r\n"))
	if err != nil || len(got) != 2 || got[0].Name != "alice" || got[1].Name != "bob" {
		t.Fatalf("%+v %v", got, err)
	}
	all, err := file.all(unlocked(context.Background(), &file.lines))
	if err != nil || len(all.records) != 2 || all.records[0].Password != string(hash) {
		t.Errorf("%+v %v", all.records, err)
	}
}
