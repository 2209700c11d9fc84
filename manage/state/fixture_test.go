package state

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a clock that tests move.
type clock struct{ millis atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.millis.Store(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *clock) now() time.Time { return toTime(c.millis.Load()) }

func (c *clock) advance(d time.Duration) { c.millis.Add(d.Milliseconds()) }

func statePath(t testing.TB) string { return filepath.Join(t.TempDir(), "keyward.db") }

// openState opens a state file with the contract's limits of sessions. The clock
// may be nil.
func openState(t testing.TB, path string, c *clock) *DB {
	t.Helper()
	config := Config{Path: path, SessionIdle: 30 * time.Minute, SessionMax: 12 * time.Hour}
	if c != nil {
		config.Now = c.now
	}
	return openConfig(t, config)
}

func openConfig(t testing.TB, c Config) *DB {
	t.Helper()
	db, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// want reports an error that is another than the wanted one; nil is none.
func want(t testing.TB, what string, err, wanted error) {
	t.Helper()
	if wanted == nil && err != nil || !errors.Is(err, wanted) {
		t.Errorf("%s: %v, want %v", what, err, wanted)
	}
}

// rows returns how many rows a table has.
func rows(t testing.TB, db *DB, table string) (n int) {
	t.Helper()
	if err := db.reading.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
