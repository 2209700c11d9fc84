package source

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
	"keyward/store/replica"

	"github.com/jackc/pgx/v5"
)

// TestReadJournal: a page begins at a line and has those behind it. Behind what was cut
// there is none.
func TestReadJournal(t *testing.T) {
	cfg := server.Database(t)
	db := open(t, cfg)
	s, j := postgres.New(postgres.Config{DB: db}), New(db)
	page, err := j.Read(t.Context(), 0, 10)
	if err != nil || page.At != nil || len(page.Lines) != 0 || page.Last != 0 || page.Identity == "" || page.Epoch == "" {
		t.Fatalf("an empty journal: %+v, %v", page, err)
	}
	for range 5 {
		if _, err := create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	first, err := j.Read(t.Context(), 0, 3)
	if err != nil || first.At != nil || len(first.Lines) != 3 || first.Last != 5 {
		t.Fatalf("the first page: %+v, %v", first, err)
	}
	last := first.Lines[2]
	next, err := j.Read(t.Context(), last.Seq, 10)
	if err != nil || next.At == nil || string(next.At.Text) != string(last.Text) || len(next.Lines) != 2 || next.Lines[0].Kind != replica.Keys {
		t.Fatalf("the next page: %+v, %v", next, err)
	}
	postgrestest.Exec(t, cfg, `UPDATE meta SET cut_seq = 4; DELETE FROM journal WHERE seq <= 4`)
	if _, err := j.Read(t.Context(), last.Seq, 10); !errors.Is(err, replica.ErrGap) || errors.Is(err, database.ErrUnavailable) {
		t.Errorf("behind a cut: %v", err)
	}
	if page, err := j.Read(t.Context(), 4, 10); !errors.Is(err, replica.ErrGap) {
		t.Errorf("at a line that was cut: %+v, %v", page, err)
	}
	if page, err := j.Read(t.Context(), 5, 10); err != nil || page.At == nil || len(page.Lines) != 0 {
		t.Errorf("behind the cut: %+v, %v", page, err)
	}
	postgrestest.Exec(t, cfg, `UPDATE meta SET schema_version = 9, serves_from = 9`)
	if _, err := New(open(t, cfg)).Read(t.Context(), 4, 10); !errors.Is(err, replica.ErrSchema) {
		t.Errorf("a schema that cannot be read: %v", err)
	}
}

// TestLineBeyond: a line behind the last change is not part of the journal, nor of what a
// snapshot says of it.
func TestLineBeyond(t *testing.T) {
	cfg := server.Database(t)
	db := open(t, cfg)
	s, j := postgres.New(postgres.Config{DB: db}), New(db)
	for range 2 {
		if _, err := create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	const beyond = 9223372036854775807
	postgrestest.Exec(t, cfg, `ALTER TABLE journal DISABLE TRIGGER USER`)
	postgrestest.Exec(t, cfg, `INSERT INTO journal (seq, epoch, kind, line) SELECT 9223372036854775807, epoch, 'key', '{}' FROM meta`)
	if page, err := j.Read(t.Context(), 1, 10); err != nil || page.Last != 2 || len(page.Lines) != 1 || page.Beyond != beyond {
		t.Errorf("%+v, %v", page, err)
	}
	if page, err := j.Read(t.Context(), beyond, 10); err != nil || page.At != nil {
		t.Errorf("at the line: %+v, %v", page, err)
	}
	taken, err := j.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if head, last := taken.Head(); head.Last != 2 || last == nil || last.Seq != 2 {
		t.Errorf("%+v, %+v", head, last)
	}
	if err := taken.Close(); err != nil {
		t.Error(err)
	}
}

// TestSnapshot: a snapshot has all records as they were when it began, and no more than
// the budget are given at once.
func TestSnapshot(t *testing.T) {
	db := open(t, server.Database(t))
	s, j := postgres.New(postgres.Config{DB: db}), New(db)
	want := map[string]bool{}
	for range 3 {
		r, err := create(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		want[r.ID] = true
	}
	var held []replica.Snapshot
	for range snapshotBudget {
		taken, err := j.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, taken)
	}
	_, err := j.Snapshot(t.Context())
	if busy, ok := errors.AsType[*replica.BusyError](err); !ok || busy.Wait <= 0 || errors.Is(err, database.ErrUnavailable) {
		t.Errorf("beyond the budget: %v", err)
	}
	j.now = func() time.Time { return time.Now().Add(maxSnapshotWait) }
	late, err := j.Snapshot(t.Context())
	if err != nil {
		t.Fatalf("after it has waited for long: %v", err)
	}
	if err := late.Close(); err != nil {
		t.Error(err)
	}
	if _, err := j.Snapshot(t.Context()); err == nil {
		t.Error("the next one does not wait")
	}
	if _, err := create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	head, last := held[0].Head()
	if head.Last != 3 || last == nil || last.Seq != 3 {
		t.Errorf("%+v, %+v", head, last)
	}
	var lines store.KeyDecoder
	err = held[0].Each(t.Context(), replica.Keys, func(_, line []byte) error {
		r, err := lines.Decode(line)
		if err == nil && !want[r.ID] {
			t.Errorf("%s is not from before", r.Name)
		}
		delete(want, r.ID)
		return err
	})
	if err != nil || len(want) != 0 {
		t.Errorf("%v, without %v", err, want)
	}
	if err := held[0].Close(); err != nil {
		t.Error(err)
	}
	again, err := j.Snapshot(t.Context())
	if err != nil {
		t.Fatalf("after one was closed: %v", err)
	}
	for _, taken := range append(held[1:], again) {
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestWake: a change wakes what listens, also after its connection was cut.
func TestWake(t *testing.T) {
	cfg := server.Database(t)
	db := open(t, cfg)
	s, j := postgres.New(postgres.Config{DB: db}), New(db)
	states := make(chan error, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		j.Listen(ctx, func(err error) { states <- err })
		close(ended)
	}()
	woken := func(what string) {
		t.Helper()
		select {
		case <-j.Wake():
		case <-time.After(20 * time.Second):
			t.Fatal("not woken:", what)
		}
	}
	for range 2 {
		for err := range states {
			if err == nil {
				break
			}
		}
		woken("once it listens")
		if _, err := create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		woken("by a change")
		postgrestest.Exec(t, cfg, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN keyward_journal'`)
	}
	cancel()
	<-ended
}

// TestReportsAreApart: a replica sees and writes the rows of its own login alone, also
// when it has another's name. A console reports as well, and sees all rows.
func TestReportsAreApart(t *testing.T) {
	cfg := server.Database(t)
	postgrestest.Exec(t, cfg, database.RolesSQL())
	rows := `SELECT string_agg(login || ' ' || name || ' ' || applied, ', ' ORDER BY login) FROM replica`
	seen := map[string]string{}
	for i, login := range []string{"report_one", "report_two", "report_console"} {
		role := "keyward_replica"
		if login == "report_console" {
			role = "keyward_writer"
		}
		of := server.As(t, cfg, login, role)
		for range 2 {
			if err := New(open(t, of)).Report(t.Context(), replica.Status{Name: "pod", Applied: int64(i)}); err != nil {
				t.Errorf("%s: %v", login, err)
			}
		}
		conn := postgrestest.Connect(t, of)
		if role == "keyward_replica" {
			denyReports(t, conn)
		}
		var text string
		if err := conn.QueryRow(t.Context(), rows).Scan(&text); err != nil {
			t.Error(err)
		}
		seen[login] = text
	}
	want := map[string]string{"report_one": "report_one pod 0", "report_two": "report_two pod 1", "report_console": "report_console pod 2, report_one pod 0, report_two pod 1"}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("%v, want %v", seen, want)
	}
}

// denyReports does with the connection what a replica must not do to the rows of others.
func denyReports(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for _, sql := range []string{
		`INSERT INTO replica (login, name, identity, epoch, applied, held) VALUES ('other', 'x', '', '', 0, 0)`, `UPDATE replica SET login = 'other'`,
		`DELETE FROM replica`, `UPDATE replica SET applied = 9 WHERE login <> session_user`,
	} {
		if done, err := conn.Exec(t.Context(), sql); err == nil && done.RowsAffected() > 0 {
			t.Errorf("allowed: %s", sql)
		}
	}
}
