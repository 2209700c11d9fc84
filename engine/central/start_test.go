package central_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/engine/central"
	"keyward/internal/eventually"
	"keyward/internal/syncbuffer"
	"keyward/store/replica"
)

// TestFirstStart: a replica without copies, which has max_staleness, begins without an
// ERROR: nothing is wrong before the first contact.
func TestFirstStart(t *testing.T) {
	log := &syncbuffer.Buffer{}
	s, err := central.Open(central.Config{
		Database: server.Database(t), Name: "one", MaxStaleness: time.Hour,
		Files:   []replica.File{{Kind: replica.Keys, Path: filepath.Join(t.TempDir(), "keys.jsonl")}},
		InForce: func(context.Context, replica.Kind) error { return nil },
		Suspend: func(bool) {}, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	eventually.Succeeds(t, func() error {
		if status := s.Status(); !status.Up || status.Contact.IsZero() {
			return errors.Join(errors.New("the store was not heard from"), status.Err)
		}
		return s.Ready()
	})
	if text := log.String(); strings.Contains(text, "level=ERROR") {
		t.Errorf("%s", text)
	}
}
