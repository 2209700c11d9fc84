package filestore

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/audit"
)

// end deletes a key by an edit of the editor.
func end(editor store.Editor[store.KeyRecord], id string) error {
	return editor.Edit(context.Background(), func(tx store.Tx[store.KeyRecord]) error {
		r, err := tx.Get(id)
		if err != nil {
			return err
		}
		r.Delete(startOfTime)
		tx.Put(&r, keyEntry(audit.KeyDelete, id))
		return nil
	})
}

// wantDone fails the test unless the log has n entries, each of a change that was made.
func (a *audited) wantDone(t *testing.T, n int) {
	t.Helper()
	all, _, err := a.log.List(context.Background(), store.AuditFilter{}, store.Page{})
	if err != nil || len(all) != n {
		t.Fatalf("%d entries, want %d: %v", len(all), n, err)
	}
	for _, e := range all {
		if e.Outcome != audit.Done {
			t.Errorf("entry %d: %s, %s", e.Seq, e.Action, e.Outcome)
		}
	}
}

// TestCompactKeepsTheLatestChange: the next writer of the audit log looks for the last
// change, which is not closed as not done because its line was compacted.
func TestCompactKeepsTheLatestChange(t *testing.T) {
	a := newAudited(newMemFS())
	one, err := a.create("one")
	if err == nil {
		err = end(a.editor, one.ID)
	}
	if err == nil {
		_, err = a.keys.Compact(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	two, err := a.create("two")
	if err != nil {
		t.Fatal(err)
	}
	a.wantDone(t, 3)
	if _, err := a.keys.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.keys.latest(one.ID, unlocked(context.Background(), &a.keys.lines)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the deleted key is still in the file after a later change: %v", err)
	}
	if _, err := a.keys.Get(context.Background(), two.ID); err != nil {
		t.Error(err)
	}
}

// TestCompactKeepsTheEnd: a key whose end has no number does not come back with the
// numbered line before it.
func TestCompactKeepsTheEnd(t *testing.T) {
	a := newAudited(newMemFS())
	one, err := a.create("one")
	if err == nil {
		err = end(a.keys.Editor(nil), one.ID)
	}
	if err == nil {
		_, err = a.keys.Compact(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	if r, err := a.keys.Get(context.Background(), one.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := a.create("two"); err != nil {
		t.Fatal(err)
	}
	a.wantDone(t, 2)
}

// TestLostFileClosesNothing: a file that lost its lines does not say that a change was
// not made.
func TestLostFileClosesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.jsonl")
	open := func(startOver bool) *audited {
		a := &audited{
			log:  NewAuditFile(AuditFileConfig{Path: filepath.Join(dir, "audit.jsonl")}),
			keys: NewKeyFile(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{}), StartOver: startOver}),
		}
		a.editor = a.keys.Editor(a.log)
		return a
	}
	if _, err := open(false).create("one"); err != nil {
		t.Fatal(err)
	}
	for i, lose := range []func() error{
		func() error { return os.Truncate(path, 0) },
		func() error { return os.Remove(path) },
	} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		a := open(true)
		if _, err := a.create("another"); err != nil {
			t.Fatal(err)
		}
		a.wantDone(t, i+2)
	}
}

// TestImportOfAKnownSecret: a key of another system that is in the store is refused,
// with which put and which key it is, also if that key was deleted.
func TestImportOfAKnownSecret(t *testing.T) {
	a := newAudited(newMemFS())
	put := func(action audit.Action, hashes ...byte) (ids []string, err error) {
		return ids, a.editor.Edit(context.Background(), func(tx store.Tx[store.KeyRecord]) error {
			ids = nil
			for _, hash := range hashes {
				id, err := apikey.NewID(rand.Reader)
				if err != nil {
					return err
				}
				r := store.KeyRecord{ID: id.String(), Name: "old", Format: apikey.FormatRaw, Hash: apikey.Digest{hash}, Created: startOfTime, At: startOfTime}
				tx.Put(&r, keyEntry(action, r.ID))
				ids = append(ids, r.ID)
			}
			return nil
		})
	}
	ids, err := put(audit.KeyImport, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := end(a.editor, ids[1]); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		hashes []byte
		put    int
		owner  string
	}{
		"in the store":       {[]byte{3, 1}, 1, ids[0]},
		"of a deleted key":   {[]byte{2, 3}, 0, ids[1]},
		"twice in the input": {[]byte{4, 5, 4}, 2, ""},
	} {
		_, err := put(audit.KeyImport, c.hashes...)
		var known *store.DuplicateKeyError
		if !errors.As(err, &known) || !errors.Is(err, store.ErrDuplicate) || known.Put != c.put || c.owner != "" && known.Owner != c.owner {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.wantDone(t, 3)
}
