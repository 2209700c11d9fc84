package source

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"keyward/internal/eventually"
	"keyward/internal/postgrestest"
	"keyward/store/audit"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
	"keyward/store/postgres/pgurl"
	"keyward/store/postgres/upkeep"
	"keyward/store/replica"
)

// reported returns the one replica that has reported.
func reported(t *testing.T, db *database.DB) upkeep.Replica {
	t.Helper()
	all, err := upkeep.Replicas(t.Context(), db)
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	return all[0]
}

// TestReport: the row of a replica is what it said last, and what it lists takes the
// place of what it listed before.
func TestReport(t *testing.T) {
	cfg := server.Database(t)
	db := open(t, cfg)
	s, j := postgres.New(postgres.Config{DB: db}), New(db)
	for range 5 {
		if _, err := create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	key := replica.LostRecord{Kind: replica.Keys, ID: "k_1", Seq: 9, What: replica.LossMissing}
	hostile := replica.LostRecord{Kind: replica.Users, ID: "'); DROP TABLE meta; --\x00\xff\u202e", Seq: 8, What: replica.LossEnded}
	for _, c := range []struct {
		applied int64
		lost    replica.Lost
		want    string
	}{
		{1, replica.Lost{}, "[]"},
		{2, replica.Lost{Total: 2, Records: []replica.LostRecord{key, hostile}}, "[{key k_1 9 missing} {user '); DROP TABLE meta; --\uFFFD\uFFFD\u202e 8 ended}]"},
		{3, replica.Lost{Total: 7, Records: []replica.LostRecord{key}}, "[{key k_1 9 missing}]"},
		{5, replica.Lost{}, "[]"},
	} {
		status := replica.Status{Name: "one", Identity: "i", Epoch: "e", Applied: c.applied, Held: 2, Lost: c.lost}
		if err := j.Report(t.Context(), status); err != nil {
			t.Fatal(err)
		}
		got := reported(t, db)
		if got.Name != "one" || got.Identity != "i" || got.Epoch != "e" || got.Held != 2 || got.Login != "keyward" || got.Reported.IsZero() ||
			got.Applied != c.applied || got.Behind != 5-c.applied || got.Lost != int64(c.lost.Total) || fmt.Sprint(got.Records) != c.want {
			t.Errorf("reported %+v, read %+v", status, got)
		}
	}
}

// TestReportAfterRestore: a list is written again if the database has another one than
// was reported, and not otherwise.
func TestReportAfterRestore(t *testing.T) {
	cfg := server.Database(t)
	db := open(t, cfg)
	j := New(db)
	status := replica.Status{Name: "one", Lost: replica.Lost{Total: 1, Records: []replica.LostRecord{{Kind: replica.Keys, ID: "k_1", Seq: 9, What: replica.LossOlder}}}}
	report := func() {
		t.Helper()
		if err := j.Report(t.Context(), status); err != nil {
			t.Fatal(err)
		}
	}
	report()
	postgrestest.Exec(t, cfg, `UPDATE replica_lost SET seq = 1`)
	report()
	if got := reported(t, db); got.Records[0].Seq != 1 {
		t.Errorf("the list was written by a heartbeat: %+v", got)
	}
	postgrestest.Exec(t, cfg, `DELETE FROM replica`) // the dump was made before the first report
	report()
	if got := reported(t, db); len(got.Records) != 1 || got.Records[0].Seq != 9 {
		t.Errorf("after a restore: %+v", got)
	}
}

// TestRestored: after a restore the database says what the replica had seen and it lacks,
// until that is accepted.
func TestRestored(t *testing.T) {
	cfg := server.Database(t)
	db := open(t, cfg)
	s := postgres.New(postgres.Config{DB: db})
	for range 3 {
		if _, err := create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	p, err := replica.New(replica.Config{
		Name: "one", Source: New(db), Hasher: cfg.Hasher,
		Files: []replica.File{{Kind: replica.Keys, Path: filepath.Join(t.TempDir(), "keys.jsonl")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Start()
	defer func() { _ = p.Close() }()
	wait := func(seq int64, lost string) {
		t.Helper()
		eventually.Succeeds(t, func() error {
			all, err := upkeep.Replicas(t.Context(), db)
			if err != nil || len(all) != 1 || all[0].Applied != seq || fmt.Sprint(all[0].Lost, all[0].Records) != lost {
				return fmt.Errorf("%+v, %w", all, errors.Join(err, p.Status().Err))
			}
			return nil
		})
	}
	wait(3, "0 []")
	var id string
	if err := postgrestest.Connect(t, cfg).QueryRow(t.Context(), `SELECT id FROM key_record WHERE seq = 3`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	postgrestest.Exec(t, cfg, `WITH j AS (DELETE FROM journal WHERE seq = 3), a AS (DELETE FROM audit WHERE seq = 3), k AS (DELETE FROM key_record WHERE seq = 3) UPDATE meta SET last_seq = 2`)
	wait(2, "1 [{key "+id+" 3 missing}]")
	before, err := db.Meta(t.Context(), db.Pool)
	if err != nil {
		t.Fatal(err)
	}
	entry := &audit.Entry{Actor: "cli:root@host", Via: audit.ViaCLI}
	if err := s.AcceptRestore(t.Context(), entry); err != nil || entry.Seq != 3 {
		t.Fatalf("%+v, %v", entry, err)
	}
	wait(2, "0 []")
	after, err := db.Meta(t.Context(), db.Pool)
	if err != nil || after.Epoch == before.Epoch || p.Status().Epoch != after.Epoch {
		t.Errorf("epochs %s, %s, and %s of the replica, %v", before.Epoch, after.Epoch, p.Status().Epoch, err)
	}
}

// TestReportWaitsForNoStandby: while changes wait for a standby that is gone, a report does
// not.
func TestReportWaitsForNoStandby(t *testing.T) {
	c := postgrestest.NewCluster(t, "")
	c.Start()
	c.Exec("postgres", "CREATE DATABASE keyward")
	var cfg database.Config
	var err error
	if cfg.URL, err = pgurl.Parse("postgres://keyward@" + c.Host() + "/keyward"); err != nil {
		t.Fatal(err)
	}
	if err := database.Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	db := open(t, cfg)
	c.Exec("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := New(db).Report(ctx, replica.Status{Name: "one"}); err != nil {
		t.Error(err)
	}
}
