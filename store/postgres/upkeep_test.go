package postgres

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres/database"
	"keyward/store/postgres/upkeep"
)

const day = 24 * time.Hour

var monthAndYear = upkeep.Keep{Journal: 30 * day, Audit: 400 * day}

// asWriter returns a Store by a login that is a writer.
func asWriter(t *testing.T, cfg database.Config) *Store {
	t.Helper()
	postgrestest.Exec(t, cfg, database.RolesSQL())
	return openStore(t, server.As(t, cfg, "upkeep_keyward_writer", "keyward_writer"))
}

// readText returns the one value of a statement as text.
func readText(t *testing.T, conn *pgx.Conn, sql string, args ...any) (text string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), `SELECT (`+sql+`)::text`, args...).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// lines writes lines of the journal that are so many days old.
func lines(t *testing.T, cfg database.Config, days ...int) {
	t.Helper()
	for i, of := range days {
		postgrestest.Exec(t, cfg, `INSERT INTO journal (seq, epoch, kind, line, at) SELECT $1::bigint, epoch, 'key', '{}', now() - $2::integer * interval '1 day' FROM meta`, 10*(i+1), of)
	}
	postgrestest.Exec(t, cfg, `UPDATE meta SET last_seq = $1::bigint`, 10*len(days))
}

// TestCutJournal: the lines go before one that is older than is kept, and the others
// stay, the last one always.
func TestCutJournal(t *testing.T) {
	for _, c := range []struct {
		name string
		days []int
		want string // the lines that stay, and what is cut
	}{
		{"none", nil, "- 0"},
		{"all young", []int{5, 4, 0}, "10,20,30 0"},
		{"old", []int{90, 80, 40, 20, 0}, "30,40,50 20"},
		{"all old", []int{90, 80, 40}, "30 20"},
		{"one", []int{90}, "10 0"},
		{"a young one after an old one", []int{90, 0}, "10,20 0"},
		{"the clock was wrong", []int{90, 80, 0, 90, 90, 0}, "20,30,40,50,60 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := server.Database(t)
			lines(t, cfg, c.days...)
			if _, err := upkeep.Run(t.Context(), asWriter(t, cfg).db, monthAndYear); err != nil {
				t.Fatal(err)
			}
			got := readText(t, postgrestest.Connect(t, cfg), `SELECT coalesce((SELECT string_agg(seq::text, ',' ORDER BY seq) FROM journal), '-') || ' ' || cut_seq FROM meta`)
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestUpkeepBatches: more than one step removes is removed, and is counted.
func TestUpkeepBatches(t *testing.T) {
	cfg := server.Database(t)
	postgrestest.Exec(t, cfg, `INSERT INTO journal (seq, epoch, kind, line, at) SELECT i, epoch, 'key', '{}', now() - interval '40 days' FROM meta, generate_series(1, 25000) AS i`)
	postgrestest.Exec(t, cfg, `INSERT INTO audit SELECT i, gen_random_uuid(), now() - interval '500 days', '', '', 'read', '', 'refused', '', '{}' FROM generate_series(1, 10001) AS i`)
	removed, err := upkeep.Run(t.Context(), asWriter(t, cfg).db, monthAndYear)
	if err != nil || removed != (upkeep.Removed{Lines: 24999, Entries: 10001}) {
		t.Errorf("%+v, %v", removed, err)
	}
	if got := readText(t, postgrestest.Connect(t, cfg), `SELECT cut_seq FROM meta`); got != "24999" {
		t.Errorf("cut up to %s", got)
	}
}

// TestCutAudit: closed entries go that are older than is kept.
func TestCutAudit(t *testing.T) {
	cfg := server.Database(t)
	const insert = `INSERT INTO audit SELECT $1::bigint, gen_random_uuid(), now() - $2::integer * interval '1 day', '', '', 'read', '', 'refused', '', '{}', CASE WHEN $3::boolean THEN now() END`
	for i, e := range []struct {
		days int
		open bool
	}{{500, false}, {500, true}, {399, false}, {401, false}, {0, false}} {
		postgrestest.Exec(t, cfg, insert, i+1, e.days, e.open)
	}
	removed, err := upkeep.Run(t.Context(), asWriter(t, cfg).db, monthAndYear)
	if err != nil || removed != (upkeep.Removed{Entries: 2}) {
		t.Errorf("%+v, %v", removed, err)
	}
	if got := readText(t, postgrestest.Connect(t, cfg), `SELECT string_agg(seq::text, ',' ORDER BY seq) FROM audit`); got != "2,3,5" {
		t.Errorf("the entries %s stay", got)
	}
}

// TestCutRevocations: a revocation goes a day after it is over, and stays if it has no
// end, one that was made by mistake, or one that this version does not understand.
func TestCutRevocations(t *testing.T) {
	cfg := server.Database(t)
	s := asWriter(t, cfg)
	now := time.Now().UTC()
	for name, until := range map[string]time.Time{
		"over": now.Add(-25 * time.Hour), "over today": now.Add(-23 * time.Hour), "not over": now.Add(time.Hour), "never over": {}, "until before it was made": now.Add(-900 * day),
	} {
		put(t, s.RevocationEditor(), &store.Revocation{TokenID: name, At: now.Add(-600 * day), Until: until}, anEntry(audit.RevocationCreate, name))
	}
	newer(t, s, revocationKind())(`{"jti":"newer","until":"2001-01-01T00:00:00Z","other":1,"at":"2000-01-01T00:00:00Z","must":["other"]}`)
	removed, err := upkeep.Run(t.Context(), s.db, monthAndYear)
	if err != nil || removed != (upkeep.Removed{Revocations: 1}) {
		t.Errorf("%+v, %v", removed, err)
	}
	if got := readText(t, postgrestest.Connect(t, cfg), `SELECT string_agg(token_id, ', ' ORDER BY token_id) FROM revocation`); got != "never over, newer, not over, over today, until before it was made" {
		t.Errorf("the revocations %s stay", got)
	}
}

// TestCutReplicas: a replica that has reported nothing for long is forgotten, with what
// it had seen.
func TestCutReplicas(t *testing.T) {
	cfg := server.Database(t)
	for _, r := range []struct {
		login, name string
		days        int
	}{{"one", "gone", 31}, {"one", "here", 29}, {"two", "gone", 0}} { // a name is that of a login's replica
		postgrestest.Exec(t, cfg, `INSERT INTO replica (login, name, identity, epoch, applied, held, at) VALUES ($1, $2, '', '', 0, 0, now() - $3::integer * interval '1 day')`, r.login, r.name, r.days)
		postgrestest.Exec(t, cfg, `INSERT INTO replica_lost (login, replica, kind, id, seq, what) VALUES ($1, $2, 'key', 'k', 1, 'ended')`, r.login, r.name)
	}
	removed, err := upkeep.Run(t.Context(), asWriter(t, cfg).db, monthAndYear)
	if err != nil || removed != (upkeep.Removed{Replicas: 1}) {
		t.Errorf("%+v, %v", removed, err)
	}
	conn := postgrestest.Connect(t, cfg)
	replicas := readText(t, conn, `SELECT string_agg(login || ' ' || name, ', ' ORDER BY login) FROM replica`)
	lost := readText(t, conn, `SELECT string_agg(login || ' ' || replica, ', ' ORDER BY login) FROM replica_lost`)
	if want := "one here, two gone"; replicas != want || lost != want {
		t.Errorf("the replicas %s stay, with what %s had seen; want %s", replicas, lost, want)
	}
}

// TestUpkeepBounds: nothing of the last day is removed, however it is asked for.
func TestUpkeepBounds(t *testing.T) {
	cfg := server.Database(t)
	s := asWriter(t, cfg)
	for _, keep := range []upkeep.Keep{{}, {Audit: 30 * day}, {Journal: day, Audit: day - 1}, {Journal: day - 1, Audit: day}, {Journal: -day, Audit: -day}} {
		if removed, err := upkeep.Run(t.Context(), s.db, keep); !errors.Is(err, store.ErrInvalid) || removed != (upkeep.Removed{}) {
			t.Errorf("%+v: %+v, %v", keep, removed, err)
		}
	}
	conn := postgrestest.Connect(t, server.As(t, cfg, "upkeep_keyward_writer", "keyward_writer"))
	for _, function := range []string{"keyward_cut_journal", "keyward_cut_audit", "keyward_cut_replicas"} {
		for _, keep := range []string{"23 hours 59 minutes", "0", "-1 day", "-10 years", "1 month -40 days"} {
			_, err := conn.Exec(t.Context(), `SELECT `+function+`($1::text::interval)`, keep)
			if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "22023" { // invalid_parameter_value
				t.Errorf("%s of %s: %v", function, keep, err)
			}
		}
		if _, err := conn.Exec(t.Context(), `SELECT `+function+`(NULL)`); err == nil {
			t.Errorf("%s of nothing", function)
		}
		if _, err := conn.Exec(t.Context(), `SELECT `+function+`('1 day')`); err != nil {
			t.Errorf("%s of a day: %v", function, err)
		}
	}
}

// TestUpkeepRights: a writer removes by the functions alone, of the tables that they are
// for, and others do not.
func TestUpkeepRights(t *testing.T) {
	cfg := server.Database(t)
	lines(t, cfg, 90, 80, 70)
	s := asWriter(t, cfg)
	if err := s.Audit().Append(t.Context(), &audit.Entry{Action: audit.Read, Outcome: audit.Refused, Via: audit.ViaAPI}); err != nil {
		t.Fatal(err)
	}
	conn := postgrestest.Connect(t, server.As(t, cfg, "upkeep_keyward_writer", "keyward_writer"))
	for _, sql := range []string{
		`DELETE FROM journal`, `DELETE FROM audit`, `DELETE FROM revocation`, `DELETE FROM replica`, `UPDATE meta SET cut_seq = 99`, `UPDATE audit SET line = ''`,
		`UPDATE audit SET open_since = now()`, `INSERT INTO journal (seq, epoch, kind, line, at) SELECT 99, epoch, 'key', '', now() - interval '90 days' FROM meta`,
		`SELECT keyward_oldest_kept('1 day')`, `ALTER FUNCTION keyward_cut_audit(interval) RESET ALL`,
	} {
		if _, err := conn.Exec(t.Context(), sql); !database.IsDenied(err) {
			t.Errorf("a writer: %s: %v", sql, err)
		}
	}
	replica := postgrestest.Connect(t, server.As(t, cfg, "upkeep_keyward_replica", "keyward_replica"))
	for _, call := range []string{`keyward_cut_journal('30 days')`, `keyward_cut_audit('30 days')`, `keyward_cut_revocations()`, `keyward_cut_replicas('30 days')`} {
		if _, err := replica.Exec(t.Context(), `SELECT `+call); !database.IsDenied(err) {
			t.Errorf("a replica: %s: %v", call, err)
		}
	}
	// Temporary tables come first in a search_path that does not name them.
	if _, err := conn.Exec(t.Context(), `CREATE TEMPORARY TABLE meta AS SELECT * FROM public.meta; CREATE TEMPORARY TABLE journal AS SELECT * FROM public.journal`); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, conn, `SELECT keyward_cut_journal('30 days')`); got != "2" {
		t.Errorf("%s lines are cut", got)
	}
	if got := readText(t, postgrestest.Connect(t, cfg), `SELECT cut_seq FROM meta`); got != "20" {
		t.Errorf("in the place of the table another one is used: cut up to %s", got)
	}
}

// TestCutWaitsForWriters: lines are cut between the changes of writers.
func TestCutWaitsForWriters(t *testing.T) {
	cfg := server.Database(t)
	writer, upkeep := postgrestest.Connect(t, cfg), postgrestest.Connect(t, cfg)
	tx, err := writer.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM meta FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	if _, err := upkeep.Exec(t.Context(), `SET lock_timeout = '50ms'`); err != nil {
		t.Fatal(err)
	}
	_, err = upkeep.Exec(t.Context(), `SELECT keyward_cut_journal('30 days')`)
	if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "55P03" { // lock_not_available
		t.Errorf("during a change: %v", err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := upkeep.Exec(t.Context(), `SELECT keyward_cut_journal('30 days')`); err != nil {
		t.Error(fmt.Errorf("after it: %w", err))
	}
}
