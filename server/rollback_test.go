package server_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"keyward/internal/eventually"
	"keyward/internal/recordfile"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/journal"
)

// TestEmptiedRevocations: revocations stay in force when their file is emptied,
// no command makes a good file of it, and a new file is reported.
func TestEmptiedRevocations(t *testing.T) {
	r := start(t, baseConfig+"\nrevocations: {file: DIR/revocations.jsonl}\n", func(r *running) {
		r.create(store.KeyParams{})
		if _, err := recordfile.NewRevocationFile(filestore.RevocationFileConfig{Path: r.path("revocations.jsonl")}, nil).RevokeToken(context.Background(), "first"); err != nil {
			t.Fatal(err)
		}
	})
	path := r.path("revocations.jsonl")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, func() error {
		if _, metrics := r.get("/metrics"); !strings.Contains(metrics, `keyward_revocations_file_reloads_total{result="error"} 1`) {
			return errors.New("the emptied file was not noticed")
		}
		return nil
	})
	next := filestore.RevocationFileConfig{Path: path}
	if _, err := recordfile.NewRevocationFile(next, nil).RevokeToken(context.Background(), "second"); !errors.Is(err, journal.ErrDamaged) {
		t.Fatalf("a command on the emptied file: %v", err)
	}
	if _, metrics := r.get("/metrics"); !strings.Contains(metrics, "keyward_revocations_file_rollbacks_total 0") {
		t.Error("a rollback was counted, and nothing was taken over")
	}
	next.StartOver = true
	if _, err := recordfile.NewRevocationFile(next, nil).RevokeToken(context.Background(), "second"); err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, func() error {
		if _, metrics := r.get("/metrics"); !strings.Contains(metrics, "keyward_revocations_file_rollbacks_total 1") {
			return fmt.Errorf("the rollback is not counted")
		}
		return nil
	})
	if log := r.log.String(); !strings.Contains(log, `"level":"ERROR","msg":"replacement file undoes what is in force"`) || !strings.Contains(log, "revocations in force are missing: 1") {
		t.Errorf("log: %s", log)
	}
}

// TestStartOnADamagedFile: a server that can't know what was revoked accepts
// nothing until the file is back.
func TestStartOnADamagedFile(t *testing.T) {
	r := start(t, baseConfig+"\nrevocations: {file: DIR/revocations.jsonl}\n", func(r *running) {
		r.create(store.KeyParams{})
		file := recordfile.NewRevocationFile(filestore.RevocationFileConfig{Path: r.path("revocations.jsonl")}, nil)
		if _, err := file.RevokeToken(context.Background(), "first"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(r.path("revocations.jsonl"), r.path("copy")); err != nil {
			t.Fatal(err)
		}
	})
	if status, text := r.get("/readyz"); status != 503 || !strings.Contains(text, "revocations file") || !strings.Contains(text, "it had content before") {
		t.Errorf("/readyz %d %s", status, text)
	}
	if err := os.Rename(r.path("copy"), r.path("revocations.jsonl")); err != nil {
		t.Fatal(err)
	}
	eventually.Succeeds(t, func() error {
		if status, text := r.get("/readyz"); status != 200 {
			return fmt.Errorf("/readyz %d %s", status, text)
		}
		return nil
	})
}
