package source

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"keyward/internal/eventually"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/postgres"
	"keyward/store/replica"
)

// TestCopies: the copies of a replica that follows the database have what it has: from a
// snapshot, and then by what wakes it.
func TestCopies(t *testing.T) {
	cfg := server.Database(t)
	db := open(t, cfg)
	s, j := postgres.New(postgres.Config{DB: db}), New(db)
	if _, err := create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	listening := make(chan error, 10)
	go j.Listen(ctx, func(err error) { listening <- err })
	if err := <-listening; err != nil {
		t.Fatal(err)
	}
	path := func(kind replica.Kind) string { return filepath.Join(dir, string(kind)+".jsonl") }
	var files []replica.File
	for _, kind := range []replica.Kind{replica.Revocations, replica.Users, replica.Projects, replica.Clients, replica.Keys} {
		files = append(files, replica.File{Kind: kind, Path: path(kind)})
	}
	p, err := replica.New(replica.Config{Name: "one", Source: j, Files: files, Hasher: cfg.Hasher})
	if err != nil {
		t.Fatal(err)
	}
	p.Start()
	defer func() { _ = p.Close() }()
	copies := filestore.NewKeyFile(filestore.KeyFileConfig{Path: path(replica.Keys), Hasher: cfg.Hasher})
	same := func() error {
		want, _, err := s.Keys().List(t.Context(), store.KeyFilter{}, store.Page{})
		got, _, errCopies := copies.List(t.Context(), store.KeyFilter{}, store.Page{})
		if err != nil || errCopies != nil || len(got) != len(want) {
			return fmt.Errorf("%d keys, want %d: %w", len(got), len(want), errors.Join(err, errCopies, p.Status().Err))
		}
		for i := range want {
			if got[i].Version() != want[i].Version() {
				return fmt.Errorf("%+v, want %+v", got[i], want[i])
			}
		}
		return nil
	}
	eventually.Succeeds(t, same)
	for range 20 {
		if _, err := create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	eventually.Succeeds(t, same)
	if took := time.Since(began); took > time.Second {
		t.Errorf("after %v: nothing woke the replica", took)
	}
}
