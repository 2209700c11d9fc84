package state

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
)

var server postgrestest.Server

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &server)) }

// clock is a clock that tests move.
type clock struct{ millis atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.millis.Store(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *clock) now() time.Time { return toTime(c.millis.Load()) }

func (c *clock) advance(d time.Duration) { c.millis.Add(d.Milliseconds()) }

// place is where the state of a test is: each handle that is opened on it has the same.
type place struct {
	file     string // or "", for the database
	database database.Config
}

// newPlace returns a place without any state.
type newPlace func(t testing.TB) place

func newFile(t testing.TB) place { return place{file: statePath(t)} }

func newDatabase(t testing.TB) place { return place{database: server.Database(t)} }

// onEach runs a test on a file and on Postgres.
func onEach(t *testing.T, test func(*testing.T, newPlace)) {
	t.Run("file", func(t *testing.T) { test(t, newFile) })
	t.Run("Postgres", func(t *testing.T) { test(t, newDatabase) })
}

// limits are those of sessions.
type limits struct{ idle, max time.Duration }

// contract has the contract's limits of sessions.
var contract = limits{30 * time.Minute, 12 * time.Hour}

// open opens the state with the contract's limits of sessions. The clock may be nil.
func (p place) open(t testing.TB, c *clock) *DB {
	t.Helper()
	return p.openLimited(t, c, contract)
}

func (p place) openLimited(t testing.TB, c *clock, l limits) *DB {
	t.Helper()
	var now func() time.Time
	if c != nil {
		now = c.now
	}
	if p.file != "" {
		db, err := Open(context.Background(), Config{Path: p.file, SessionIdle: l.idle, SessionMax: l.max, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return closed(t, db)
	}
	shared, err := database.Open(p.database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shared.Close)
	return closed(t, OpenShared(SharedConfig{Database: shared, SessionIdle: l.idle, SessionMax: l.max, Now: now}))
}

// closed returns the state, which is closed when the test ends.
func closed(t testing.TB, db *DB) *DB {
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func statePath(t testing.TB) string { return filepath.Join(t.TempDir(), "keyward.db") }

// openFileAt opens a state file with the contract's limits of sessions.
func openFileAt(t testing.TB, path string) *DB {
	t.Helper()
	return place{file: path}.open(t, nil)
}

// fileOf returns the file in which the state is.
func fileOf(db *DB) *stateFile { return db.storage.(*stateFile) }

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
	q, done := db.storage.reader(context.Background())
	defer done()
	if err := q.row("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
