package filestore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
)

// TestCopyIsNotChanged: a file that is the copy of a database is read as any other, and
// changed by nothing but what follows the database. That in turn changes no other file.
func TestCopyIsNotChanged(t *testing.T) {
	hasher := apikey.NewHasher(authz.Secret{})
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	writers := map[string]struct {
		header fileheader.Header
		change func(files *memFS) error
	}{
		"keys": {fileheader.Keys(hasher), func(files *memFS) error {
			f := newKeys(KeyFileConfig{Path: memPath, Hasher: hasher, FS: files})
			return put(f.Editor(nil), &store.KeyRecord{})
		}},
		"keys, compacted": {fileheader.Keys(hasher), func(files *memFS) error {
			_, err := newKeys(KeyFileConfig{Path: memPath, Hasher: hasher, FS: files}).Compact(context.Background())
			return err
		}},
		"users": {fileheader.Users(), func(files *memFS) error {
			return put(NewUserFile(UserFileConfig{Path: memPath, FS: files}).Editor(nil), &store.UserRecord{Name: "alice", Created: at, At: at})
		}},
		"revocations": {fileheader.Revocations(), func(files *memFS) error {
			return put(NewRevocationFile(RevocationFileConfig{Path: memPath, FS: files}).Editor(nil), &store.Revocation{TokenID: "j", At: at})
		}},
		"projects": {fileheader.Projects(), func(files *memFS) error {
			return put(NewProjectFile(ProjectFileConfig{Path: memPath, FS: files}).Editor(nil), &store.Project{Name: "p", Created: at, At: at})
		}},
		"clients": {fileheader.Clients(hasher), func(files *memFS) error {
			return put(NewClientFile(ClientFileConfig{Path: memPath, Hasher: hasher, FS: files}).Editor(nil), &store.Client{})
		}},
	}
	for what, w := range writers {
		files := newMemFS()
		copies := func(identity string) error { return begin(files, w.header.Copy(identity)) }
		if err := copies("one"); err != nil {
			t.Fatal(what, err)
		}
		before := bytes.Clone(files.entries[memPath].data)
		if err := w.change(files); !errors.Is(err, fileheader.ErrCopy) || !bytes.Equal(files.entries[memPath].data, before) {
			t.Errorf("%s: %v, and then the file is %s", what, err, files.entries[memPath].data)
		}
		if err := copies("two"); err != nil || bytes.Equal(files.entries[memPath].data, before) {
			t.Errorf("%s: a copy of another database: %v", what, err)
		}
		files = newMemFS()
		if err := begin(files, w.header); err != nil {
			t.Fatal(what, err)
		}
		if err := copies("one"); !errors.Is(err, fileheader.ErrNoCopy) {
			t.Errorf("%s: a file that is not a copy: %v", what, err)
		}
	}
}

// begin writes a file that has that header alone, in place of one that is there.
func begin(files *memFS, header fileheader.Header) error {
	lines := journal.Lines{Writer: journal.Writer{Path: memPath, FS: files}, Header: header.Journal()}
	return lines.Write(context.Background(), nil, func(t *journal.LineTransaction) error {
		return t.Rewrite(func(io.Writer) error { return nil })
	})
}

// put puts one record.
func put[R any](editor store.Editor[R], r *R) error {
	return editor.Edit(context.Background(), func(tx store.Tx[R]) error {
		tx.Put(r, &audit.Entry{})
		return nil
	})
}
