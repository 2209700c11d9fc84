package usagetable

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
	"keyward/usage"
)

// TestSumOfReplicas: what replicas record of a key is one usage, the same as if one file
// had all of it.
func TestSumOfReplicas(t *testing.T) {
	cfg := server.Database(t)
	one, two := tableOf(t, cfg, "one"), tableOf(t, cfg, "two")
	file := t.TempDir() + "/usage.jsonl"
	uses := [][]use{
		allowed("k_a", 25, day), {{"k_a", "/admin", day.Add(time.Hour), authz.InsufficientScope}, {"k_b", "/", day, authz.OK}},
		allowed("k_a", 3, day.Add(-48*time.Hour)),
	}
	for i, some := range uses {
		record(t, []*Table{one, two, one}[i], some...)
		tracker := usage.New(usage.Config{File: file, Flush: time.Hour})
		observe(tracker, some...)
		if err := tracker.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for id, total := range map[string]uint64{"k_a": 29, "k_b": 1, "k_none": 0} {
		want, err := usage.Read(file, id, day)
		if got := get(t, one, id); err != nil || got.Total != total || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v\nin a file %+v", id, got, err, want)
		}
	}
	if rows := scan[int](t, cfg, `SELECT count(*) FROM usage`); rows != 5 {
		t.Errorf("%d rows, want 3 of keys and 2 of all keys", rows)
	}
}

// TestUnansweredCommit: whichever message or answer of a flush is lost, its batch is
// counted once.
func TestUnansweredCommit(t *testing.T) {
	cfg := server.Database(t)
	direct := tableOf(t, cfg, "reader")
	for _, answerLost := range []bool{false, true} {
		commits := 0
		for at := 1; ; at++ {
			id := fmt.Sprintf("k_%d_%v", at, answerLost)
			f := &postgrestest.Faults{At: at, AnswerLost: answerLost}
			cut := cfg
			cut.Dial = f.Dial
			table := tableOf(t, cut, "one")
			source := batchOf(t, allowed(id, 5, day)...)
			failed := table.Flush(source) != nil
			message := f.Cut()
			for _, uses := range []int{5, 7} {
				for attempt := 0; table.Flush(source) != nil; attempt++ {
					if attempt == 2 {
						t.Fatalf("message %d: it is not flushed", at)
					}
				}
				wantUses(t, direct, map[string]uint64{id: uint64(uses)})
				source = batchOf(t, allowed(id, 2, day)...) // the next batch counts too
			}
			if message == nil {
				break
			}
			if bytes.Contains(message, []byte("commit\x00")) {
				commits++
				if !failed {
					t.Error("a commit without an answer is taken for one that was made")
				}
			}
		}
		if commits != 1 {
			t.Errorf("%d commits were cut", commits)
		}
	}
}

// TestFlushWaitsForItsCommit: a batch that is sent again while the database still works
// on it waits for the outcome.
func TestFlushWaitsForItsCommit(t *testing.T) {
	cfg := server.Database(t)
	table := tableOf(t, cfg, "one")
	source := batchOf(t, allowed("k_a", 5, day)...)
	table.batch = "first"
	tx, err := postgrestest.Connect(t, cfg).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.begin(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if err := table.add(t.Context(), tx, source.waiting[0]); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- table.Flush(source) }()
	waiting := `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	for scan[int](t, cfg, waiting) == 0 {
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantUses(t, table, map[string]uint64{"k_a": 5})
}

// TestDatabaseDown: a Tracker keeps what it cannot flush, and flushes it once the
// database is back. Until then it returns what it holds of no key: it does not know it.
func TestDatabaseDown(t *testing.T) {
	cfg := server.Database(t)
	var log lockedBuffer
	tracker := usage.New(usage.Config{Store: tableOf(t, cfg, "one"), Flush: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer tracker.Close()
	observe(tracker, allowed("k_a", 3, day)...)
	waitFor(t, func() bool { return scan[int](t, cfg, `SELECT count(*) FROM usage`) == 2 })
	server.Refuse(t, cfg, true)
	observe(tracker, allowed("k_a", 4, day.Add(time.Hour))...)
	observe(tracker, allowed("k_b", 5, day)...)
	waitFor(t, func() bool { return strings.Contains(log.String(), "cannot write usage, buffering in memory") })
	if _, err := tracker.Get("k_a"); !errors.Is(err, database.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if _, err := tracker.LastUse(); !errors.Is(err, database.ErrUnavailable) {
		t.Errorf("last use: %v", err)
	}
	server.Refuse(t, cfg, false)
	waitFor(t, func() bool { return strings.Contains(log.String(), "usage is written again") })
	if err := tracker.Close(); err != nil {
		t.Fatal(err)
	}
	wantUses(t, tableOf(t, cfg, "reader"), map[string]uint64{"k_a": 7, "k_b": 5})
}

// TestBoundedWhileDown: while the database is down, memory is as bounded as with a file
// that cannot be written, and the loss is logged.
func TestBoundedWhileDown(t *testing.T) {
	cfg := server.Database(t)
	db := open(t, cfg)
	db.Close()
	var log lockedBuffer
	tracker := usage.New(usage.Config{Store: New(Config{DB: db, Replica: "one"}), Flush: time.Millisecond, MaxKeys: 100, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range 5000 {
		observe(tracker, use{fmt.Sprintf("k_%d", i), "/", day, authz.OK})
	}
	waitFor(t, func() bool { return strings.Contains(log.String(), "usage dropped: max_keys exceeded") })
	if err := tracker.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestHostileUses: what clients send is stored as it is in a file, and what cannot be the
// id of a key stops nothing.
func TestHostileUses(t *testing.T) {
	cfg := server.Database(t)
	table := tableOf(t, cfg, "one")
	paths := []string{"/\x00", "/a\xff\xfe", "/\xed\xa0\x80", `/'; DROP TABLE usage; --`, `/{a,"b"}`, `/\`, "/\u202e\U0001F511", "/" + strings.Repeat("\x01", 300), "/$1%s"}
	var uses []use
	for i, path := range append(paths, paths...) {
		uses = append(uses, use{"k_a", path, day.Add(time.Duration(i) * time.Second), authz.OK})
	}
	for _, id := range []string{"k_\x00", "k_\xff", "k_\uFFFD", strings.Repeat("k", 5000), "'; DROP"} {
		uses = append(uses, use{id, "/", day, authz.OK})
	}
	file := t.TempDir() + "/usage.jsonl"
	for range 2 {
		record(t, table, uses...)
		tracker := usage.New(usage.Config{File: file, Flush: time.Hour})
		observe(tracker, uses...)
		if err := tracker.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want, err := usage.Read(file, "k_a", day)
	if got := get(t, table, "k_a"); err != nil || !reflect.DeepEqual(got, want) || got.Total != uint64(4*len(paths)) {
		t.Errorf("%+v, %v\nin a file %+v", got, err, want)
	}
	if _, err := table.LastUse(); err != nil {
		t.Error(err)
	}
	wantUses(t, table, map[string]uint64{"k_\x00": 0, "'; DROP": 2, strings.Repeat("k", 5000): 0})
}

// TestSpoiledRows: rows that no Keyward wrote neither count nor stop a flush.
func TestSpoiledRows(t *testing.T) {
	cfg := server.Database(t)
	table := tableOf(t, cfg, "one")
	of := strings.Replace
	record(t, table, allowed("k_other", 1, day)...)
	other := scan[string](t, cfg, `SELECT totals FROM usage`)
	for i, line := range []string{"hello", other, of(other, `"ok":1`, `"ok":1,`+strings.Repeat(`"x":1,`, 300)+`"y":1`, 1), strings.Repeat("x", 60_000), `{"id":"k_a","first":1`} {
		id := fmt.Sprint("k_", i)
		postgrestest.Exec(t, cfg, `INSERT INTO usage (key_id, login, replica, totals, days, last) VALUES ($1, current_user, 'one', $2, $2, 1)`, id, line)
		if u := get(t, table, id); u.Total != 0 {
			t.Errorf("%.50s: %d uses", line, u.Total)
		}
		record(t, table, allowed(id, 2, day)...)
		wantUses(t, table, map[string]uint64{id: 2, "k_other": 1})
	}
}

// TestNoReplica: without a name nothing is flushed.
func TestNoReplica(t *testing.T) {
	cfg := server.Database(t)
	if err := tableOf(t, cfg, "").Flush(batchOf(t, allowed("k_a", 1, day)...)); err == nil {
		t.Error("flushed")
	}
	if rows := scan[int](t, cfg, `SELECT count(*) FROM usage`); rows != 0 {
		t.Errorf("%d rows", rows)
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// waitFor waits until a goroutine of a Tracker has done its work.
func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(until) {
			t.Fatal("it does not come about")
		}
	}
}

// TestDaysOfReplicas: the days of all keys are those of all replicas together.
func TestDaysOfReplicas(t *testing.T) {
	cfg := server.Database(t)
	one, two := tableOf(t, cfg, "one"), tableOf(t, cfg, "two")
	record(t, one, allowed("k_a", 5, day)...)
	record(t, two, allowed("k_a", 3, day)...)
	record(t, two, allowed("k_b", 2, day.Add(-24*time.Hour))...)
	tracker := usage.New(usage.Config{Store: one, Flush: time.Hour, Now: func() time.Time { return day }})
	defer tracker.Close()
	days, err := tracker.Days()
	if err != nil || days[0].Allowed != 8 || days[1].Allowed != 2 {
		t.Errorf("%+v, %v", days, err)
	}
}
