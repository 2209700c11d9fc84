package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres/database"
)

// entriesOf are the entries of the log, oldest first.
func entriesOf(t *testing.T, s *Store) []audit.Entry {
	t.Helper()
	all, _, err := s.Audit().List(t.Context(), store.AuditFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func outcomes(entries []audit.Entry) []audit.Outcome {
	var all []audit.Outcome
	for _, e := range entries {
		all = append(all, e.Outcome)
	}
	return all
}

// openEntries counts the entries of which it is not known whether their changes were made.
func openEntries(t *testing.T, s *Store) int {
	t.Helper()
	var n int
	if err := s.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM audit WHERE open_since IS NOT NULL`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestChange(t *testing.T) {
	s := openStore(t, server.Database(t))
	var numbers []int64
	change := func(result error) func(int64) error {
		return func(seq int64) error {
			if n := openEntries(t, s); n != 1 {
				t.Errorf("%d entries are open during a change", n)
			}
			numbers = append(numbers, seq)
			return result
		}
	}
	refused := errors.New("refused")
	for _, want := range []error{nil, refused} {
		if err := s.Audit().Change(t.Context(), anEntry(audit.LinkCreate, "alice"), change(want)); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if got := outcomes(entriesOf(t, s)); !slices.Equal(numbers, []int64{1, 2}) || !slices.Equal(got, []audit.Outcome{audit.Done, audit.NotDone}) || openEntries(t, s) != 0 {
		t.Errorf("%d, %q", numbers, got)
	}
}

// TestUncertainChange: the log does not deny a change that may have been made. It is
// closed later as one of a writer that died.
func TestUncertainChange(t *testing.T) {
	s := openStore(t, server.Database(t))
	uncertain := fmt.Errorf("ending: %w", store.ErrUncertain)
	if err := s.Audit().Change(t.Context(), anEntry(audit.LinkCreate, "alice"), func(int64) error { return uncertain }); !errors.Is(err, store.ErrUncertain) {
		t.Error(err)
	}
	if n := openEntries(t, s); n != 1 {
		t.Errorf("%d entries are open", n)
	}
}

// outage refuses connections, and cuts those that there are.
type outage struct{ now atomic.Bool }

func (o *outage) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if o.now.Load() {
		return nil, errors.New("refused")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	return &outageConn{conn, o}, err
}

type outageConn struct {
	net.Conn
	outage *outage
}

func (c *outageConn) Write(message []byte) (int, error) {
	if c.outage.now.Load() {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(message)
}

// TestChangeWithoutDatabase: what ends something goes on, and its entry follows; what
// does not is refused.
func TestChangeWithoutDatabase(t *testing.T) {
	cfg := server.Database(t)
	var o outage
	cfg.Dial = o.dial
	s := openStore(t, cfg)
	o.now.Store(true)
	called := func(int64) error {
		t.Error("a change without its entry is made")
		return nil
	}
	if err := s.Audit().Change(t.Context(), anEntry(audit.LinkCreate, "alice"), called); !errors.Is(err, store.ErrAudit) {
		t.Error(err)
	}
	if err := s.Audit().Append(t.Context(), anEntry(audit.Read, "one")); !errors.Is(err, store.ErrAudit) {
		t.Error(err)
	}
	number := int64(-1)
	err := s.Audit().Change(t.Context(), anEntry(audit.SessionEnd, "alice"), func(seq int64) error {
		number = seq
		return nil
	})
	if unwritten, why := s.Audit().Unwritten(); err != nil || number != 0 || unwritten != 1 || !errors.Is(why, database.ErrUnavailable) {
		t.Errorf("%v, number %d, %d unwritten, %v", err, number, unwritten, why)
	}
	o.now.Store(false)
	for range 2 {
		if err := s.Audit().Append(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all := entriesOf(t, s)
	if unwritten, _ := s.Audit().Unwritten(); len(all) != 1 || !all[0].Behind || all[0].Action != audit.SessionEnd || all[0].Outcome != audit.Done || unwritten != 0 {
		t.Errorf("%+v", all)
	}
}

// made is a ChangeStore with the changes of some numbers.
type made []int64

func (m made) Made(seq int64) (bool, error) { return slices.Contains(m, seq), nil }

// TestAbandonedChanges: the entries of a writer that died are closed by what became of
// their changes, by a process that knows, and not while the writer may be at work.
func TestAbandonedChanges(t *testing.T) {
	s := openStore(t, server.Database(t))
	for _, action := range []audit.Action{audit.LinkCreate, audit.LinkCreate, audit.SessionEnd} {
		err := s.write(t.Context(), func(w *writer) error { return w.appendEntries([]*audit.Entry{anEntry(action, "alice")}, true) })
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Audit().Watch("link", made{2})
	appendNone := func(wantOpen int, want ...audit.Outcome) {
		t.Helper()
		if err := s.Audit().Append(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := outcomes(entriesOf(t, s)); openEntries(t, s) != wantOpen || !slices.Equal(got, want) {
			t.Errorf("%d are open: %q", openEntries(t, s), got)
		}
	}
	appendNone(3, audit.Done, audit.Done, audit.Done)
	if _, err := s.db.Pool.Exec(t.Context(), `UPDATE audit SET open_since = open_since - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	appendNone(1, audit.NotDone, audit.Done, audit.Done)
}

// beginning is a connection that calls a function before its program begins a transaction.
type beginning struct {
	net.Conn
	call func()
}

func (c *beginning) Write(message []byte) (int, error) {
	if bytes.Contains(message, []byte("begin")) {
		c.call()
	}
	return c.Conn.Write(message)
}

// TestChangeClosedMeanwhile: a change whose entry another process has closed as not done
// is not made, be it one that only ends something.
func TestChangeClosedMeanwhile(t *testing.T) {
	cfg := server.Database(t)
	other := openStore(t, cfg)
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		return &beginning{conn, func() {
			for _, e := range entriesOf(t, other) {
				if err := other.write(t.Context(), func(w *writer) error { return w.closeEntry(&e, false) }); err != nil {
					t.Error(err)
				}
			}
		}}, err
	}
	err := openStore(t, cfg).Audit().Change(t.Context(), anEntry(audit.SessionEnd, "alice"), func(int64) error {
		t.Error("the change was made")
		return nil
	})
	if all := entriesOf(t, other); !errors.Is(err, store.ErrAudit) || len(all) != 1 || all[0].Outcome != audit.NotDone {
		t.Errorf("%v, %+v", err, all)
	}
}

// insertOpen writes the row of an entry that has been open for an hour, as a login of a
// console can.
func insertOpen(t *testing.T, cfg database.Config, seq int64, action, line string) {
	t.Helper()
	postgrestest.Exec(t, cfg, `INSERT INTO audit (seq, change_id, time, actor, actor_key, action, target, outcome, operation, line, open_since)
		VALUES ($1::bigint, gen_random_uuid(), now(), E'eve\u202e', '', $2::text, 'alice', 'done', 'op', $3::text, clock_timestamp() - interval '1 hour')`, seq, action, line)
	postgrestest.Exec(t, cfg, `UPDATE meta SET last_seq = $1::bigint WHERE last_seq < $1::bigint`, seq)
}

// unreadableLines are lines that no entry of the number 2 has.
var unreadableLines = map[string]string{
	"empty": "", "no JSON": "{", "another type": `{"seq":"2"}`, "no outcome": `{"seq":2,"action":"link.create"}`,
	"number of another entry": `{"seq":1,"time":"2026-01-02T03:04:05Z","action":"link.create","via":"api","outcome":"done"}`,
	"number of none":          `{"seq":-2,"time":"2026-01-02T03:04:05Z","action":"link.create","via":"api","outcome":"done"}`,
	"no time":                 `{"seq":2,"time":"infinity","action":"link.create","via":"api","outcome":"done"}`,
	"long":                    `{"seq":2,"time":"2026-01-02T03:04:05Z","action":"link.create","via":"api","outcome":"done","reason":"` + strings.Repeat("x", audit.MaxLine) + `"}`,
}

// TestUnreadableOpenEntry: an open entry that cannot be read is closed as not done, and is
// listed by its columns. It stops no change, and no list.
func TestUnreadableOpenEntry(t *testing.T) {
	for what, line := range unreadableLines {
		t.Run(what, func(t *testing.T) {
			cfg := server.Emptied(t)
			s := openStore(t, cfg)
			s.Audit().Watch("link", made{2})
			if err := s.Audit().Append(t.Context(), anEntry(audit.Read, "one")); err != nil {
				t.Fatal(err)
			}
			insertOpen(t, cfg, 2, "link.create", line)
			for range 2 {
				if err := s.Audit().Change(t.Context(), anEntry(audit.LinkCreate, "bob"), func(int64) error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
			all := entriesOf(t, s)
			if got := outcomes(all); openEntries(t, s) != 0 || !slices.Equal(got, []audit.Outcome{audit.Done, audit.NotDone, audit.Done, audit.Done}) {
				t.Fatalf("%d are open: %q", openEntries(t, s), got)
			}
			if e := all[1]; e.Seq != 2 || e.Actor != "eve\u202e" || e.Action != audit.LinkCreate || e.Record != "alice" || e.Operation != "op" || e.Reason != unreadable || e.Time.IsZero() {
				t.Errorf("%+v", e)
			}
			page, next, err := s.Audit().List(t.Context(), store.AuditFilter{Operation: "op"}, store.Page{Limit: 1, NewestFirst: true})
			if err != nil || len(page) != 1 || next != "" {
				t.Errorf("a page: %+v, %q, %v", page, next, err)
			}
		})
	}
}

// TestUnwritableOpenEntry: an entry that can be read, and not be written again, is closed
// by what became of its change.
func TestUnwritableOpenEntry(t *testing.T) {
	cfg := server.Emptied(t)
	s := openStore(t, cfg)
	s.Audit().Watch("link", made{1})
	for seq := range int64(2) {
		insertOpen(t, cfg, seq+1, "link.later", fmt.Sprintf(`{"seq":%d,"time":"2026-01-02T03:04:05Z","action":"link.later","via":"later","outcome":"done"}`, seq+1))
	}
	if err := s.Audit().Append(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(entriesOf(t, s)); openEntries(t, s) != 0 || !slices.Equal(got, []audit.Outcome{audit.Done, audit.NotDone}) {
		t.Errorf("%d are open: %q", openEntries(t, s), got)
	}
}

// TestUnreadableTimes: no time of a row hides the others, or cannot be shown.
func TestUnreadableTimes(t *testing.T) {
	cfg := server.Emptied(t)
	s := openStore(t, cfg)
	for i, at := range []string{"infinity", "-infinity", "294276-12-31", "4713-01-01 BC", "2026-01-02 03:04:05Z"} {
		insertOpen(t, cfg, int64(i+1), "link.create", "")
		postgrestest.Exec(t, cfg, `UPDATE audit SET time = $2::text::timestamptz WHERE seq = $1::bigint`, i+1, at)
	}
	for _, e := range entriesOf(t, s) {
		if text, err := json.Marshal(e); err != nil || e.Time.IsZero() != (e.Seq < 5) {
			t.Errorf("%s, %v", text, err)
		}
	}
}

// TestManyOpenEntries: however many entries are open, a change reads a page of them, and
// later ones the others.
func TestManyOpenEntries(t *testing.T) {
	cfg := server.Emptied(t)
	s := openStore(t, cfg)
	s.Audit().Watch("link", made(nil))
	const pages = 3
	postgrestest.Exec(t, cfg, `INSERT INTO audit (seq, change_id, time, actor, actor_key, action, target, outcome, operation, line, open_since)
		SELECT n, gen_random_uuid(), now(), '', '', 'later.kind', '', 'done', '', json_build_object('seq', n, 'action', 'later.kind', 'outcome', 'done'), clock_timestamp() - interval '1 hour'
		FROM generate_series(1::bigint, $1::bigint) AS n`, pages*abandonedAtOnce)
	postgrestest.Exec(t, cfg, `UPDATE meta SET last_seq = $1::bigint`, pages*abandonedAtOnce)
	insertOpen(t, cfg, pages*abandonedAtOnce+1, "link.create", "")
	for i := range pages + 1 {
		if n := openEntries(t, s); n != pages*abandonedAtOnce+1 {
			t.Fatalf("after %d changes %d entries are open", i, n)
		}
		if err := s.Audit().Append(t.Context(), anEntry(audit.Read, "one")); err != nil {
			t.Fatal(err)
		}
	}
	if n := openEntries(t, s); n != pages*abandonedAtOnce {
		t.Errorf("%d entries are open", n)
	}
}
