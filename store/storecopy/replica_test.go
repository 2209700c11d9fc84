package storecopy

import (
	"fmt"
	"path/filepath"
	"reflect"
	"testing"

	"keyward/internal/eventually"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
	"keyward/store/filestore/fileheader"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
	"keyward/store/postgres/source"
	"keyward/store/replica"
)

// follow has a replica with its copies in a directory.
func follow(t *testing.T, cfg database.Config) (*replica.Puller, *filestore.KeyFile) {
	t.Helper()
	dir := t.TempDir()
	db, err := database.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var files []replica.File
	for _, kind := range []replica.Kind{replica.Revocations, replica.Users, replica.Projects, replica.Clients, replica.Keys} {
		files = append(files, replica.File{Kind: kind, Path: filepath.Join(dir, string(kind)+".jsonl")})
	}
	p, err := replica.New(replica.Config{Name: dir, Source: source.New(db), Files: files, Hasher: cfg.Hasher})
	if err != nil {
		t.Fatal(err)
	}
	p.Start()
	t.Cleanup(func() {
		_ = p.Close()
		db.Close()
	})
	return p, filestore.NewKeyFile(filestore.KeyFileConfig{Path: filepath.Join(dir, "key.jsonl"), Hasher: cfg.Hasher})
}

func sameKeys(t *testing.T, p *replica.Puller, got *filestore.KeyFile, db *postgres.Store) {
	t.Helper()
	eventually.Succeeds(t, func() error {
		want, _, err := db.Keys().List(t.Context(), store.KeyFilter{}, store.Page{})
		if err != nil {
			return err
		}
		has, _, err := got.List(t.Context(), store.KeyFilter{}, store.Page{})
		if err != nil || !reflect.DeepEqual(has, want) {
			return fmt.Errorf("%d keys, %v, want %d: %+v", len(has), err, len(want), p.Status())
		}
		if s := p.Status(); !s.Up || s.Applied != s.Last || s.Err != nil {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// TestReplicaFollows: a replica that began with the empty database, and one that begins
// after the copy, have what was copied after one snapshot, and then follow the journal:
// whether the records have numbers or not.
func TestReplicaFollows(t *testing.T) {
	for name, fill := range map[string]func(t *testing.T, from Files){
		"numbered": func(t *testing.T, from Files) {
			files := inFiles(from)
			files.fill(t)
		},
		"one record": func(t *testing.T, from Files) {
			files := inFiles(from)
			key, _ := newKey(t, "alice")
			put(t, files.keyEditor, audit.KeyCreate, key.ID, key)
		},
		"without numbers": func(t *testing.T, from Files) {
			text := header(fileheader.Keys(from.Hasher))
			for range 3 {
				key, _ := newKey(t, "alice")
				line, err := key.Line()
				if err != nil {
					t.Fatal(err)
				}
				text += string(line)
			}
			write(t, from.Keys, text)
		},
		"nothing": func(*testing.T, Files) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, from := server.Database(t), filesIn(t.TempDir(), nil)
			fill(t, from)
			db := openDatabase(t, cfg)
			early, earlyKeys := follow(t, cfg)
			sameKeys(t, early, earlyKeys, db)
			if _, err := ToDatabase(t.Context(), from, db); err != nil {
				t.Fatal(err)
			}
			late, lateKeys := follow(t, cfg)
			for range 3 {
				sameKeys(t, early, earlyKeys, db)
				sameKeys(t, late, lateKeys, db)
				key, _ := newKey(t, "alice")
				put(t, db.KeyEditor(), audit.KeyCreate, key.ID, key)
			}
			gaps := uint64(1)
			if name == "nothing" {
				gaps = 0
			}
			if got := early.Status().Resyncs; got[replica.ReasonStart] != 1 || got[replica.ReasonGap] != gaps || len(got) > 2 {
				t.Errorf("the early replica: %v", got)
			}
			if got := late.Status().Resyncs; got[replica.ReasonStart] != 1 || len(got) != 1 {
				t.Errorf("the late replica: %v", got)
			}
		})
	}
}
