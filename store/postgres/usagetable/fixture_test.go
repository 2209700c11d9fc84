package usagetable

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
	"keyward/usage"
)

var server = postgrestest.Server{Hasher: apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &server)) }

// day is the first day of tests, at noon.
var day = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, cfg database.Config) *database.DB {
	t.Helper()
	db, err := database.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// tableOf returns the table as the replica sees it.
func tableOf(t testing.TB, cfg database.Config, replica string) *Table {
	t.Helper()
	return New(Config{DB: open(t, cfg), Replica: replica})
}

// use is one use of a key.
type use struct {
	id, path string
	at       time.Time
	reason   authz.Reason
}

// observe has the tracker observe the uses.
func observe(tracker *usage.Tracker, uses ...use) {
	for _, u := range uses {
		r := authz.Request{Method: "GET", Target: u.path, Peer: "192.0.2.1"}
		tracker.Observe(&r, &authz.Decision{Reason: u.reason, Principal: &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: u.id}, At: u.at})
	}
}

// record has a Tracker flush the uses to the table.
func record(t testing.TB, table usage.Store, uses ...use) {
	t.Helper()
	tracker := usage.New(usage.Config{Store: table, Flush: time.Hour})
	observe(tracker, uses...)
	if err := tracker.Close(); err != nil {
		t.Fatal(err)
	}
}

// allowed are n uses of the key, a second apart.
func allowed(id string, n int, from time.Time) []use {
	var uses []use
	for i := range n {
		uses = append(uses, use{id, fmt.Sprint("/", i), from.Add(time.Duration(i) * time.Second), authz.OK})
	}
	return uses
}

// get returns the use of the key by the table alone.
func get(t testing.TB, table *Table, id string) usage.Usage {
	t.Helper()
	tracker := usage.New(usage.Config{Store: table, Flush: time.Hour, Now: func() time.Time { return day }})
	defer tracker.Close()
	u, err := tracker.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// wantUses holds how often the keys were used.
func wantUses(t testing.TB, table *Table, want map[string]uint64) {
	t.Helper()
	for id, n := range want {
		if u := get(t, table, id); u.Total != n {
			t.Errorf("%s was used %d times, want %d", id, u.Total, n)
		}
	}
}

// batches is a Source of what Trackers flush to it: each batch is one Drain.
type batches struct{ waiting [][]byte }

// Flush implements usage.Store: it keeps the batches.
func (b *batches) Flush(from usage.Source) error {
	return from.Drain(func(batch []byte) error {
		b.waiting = append(b.waiting, bytes.Clone(batch))
		return nil
	})
}

func (*batches) Lines(string, func([]byte) error) error            { return nil }
func (*batches) LastUse() (func(string) int64, error)              { return nil, nil }
func (b *batches) Checkpoint(write func(batch []byte) error) error { return b.Drain(write) }

// Drain implements usage.Source.
func (b *batches) Drain(write func(batch []byte) error) error {
	for len(b.waiting) > 0 {
		if err := write(b.waiting[0]); err != nil {
			return err
		}
		b.waiting = b.waiting[1:]
	}
	return nil
}

// batchOf returns a Source with the uses.
func batchOf(t testing.TB, uses ...use) *batches {
	t.Helper()
	b := &batches{}
	record(t, b, uses...)
	return b
}

// scan reads one value as the owner of the database.
func scan[V any](t testing.TB, cfg database.Config, sql string, args ...any) (v V) {
	t.Helper()
	if err := postgrestest.Connect(t, cfg).QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
