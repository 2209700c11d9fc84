package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
)

// withRoles is a new database with the roles, and connections of a member of each.
func withRoles(t *testing.T, logins string) (cfg database.Config, writer, replica *pgx.Conn) {
	t.Helper()
	cfg = server.Database(t)
	postgrestest.Exec(t, cfg, database.RolesSQL())
	writer = postgrestest.Connect(t, server.As(t, cfg, logins+"_writer", "keyward_writer"))
	return cfg, writer, postgrestest.Connect(t, server.As(t, cfg, logins+"_replica", "keyward_replica"))
}

// wantRefused: the statement fails, with that SQLSTATE.
func wantRefused(t *testing.T, conn *pgx.Conn, code, sql string, args ...any) {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, args...)
	if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != code {
		t.Errorf("%.200s: %v", sql, err)
	}
}

const (
	denied    = "42501" // insufficient_privilege
	violation = "23514" // check_violation
)

// TestOpenSchema: nothing is made where every login could create functions.
func TestOpenSchema(t *testing.T) {
	cfg := emptyConfig(t)
	postgrestest.Exec(t, cfg, `GRANT CREATE ON SCHEMA public TO PUBLIC`)
	if err := database.Migrate(t.Context(), cfg); !errors.Is(err, database.ErrOpenSchema) || !strings.Contains(err.Error(), `REVOKE CREATE ON SCHEMA "public" FROM PUBLIC`) {
		t.Error(err)
	}
	postgrestest.Exec(t, cfg, `REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	if err := database.Migrate(t.Context(), cfg); err != nil {
		t.Error(err)
	}
}

// TestFunctionsFindNoOthers: no function of the schema looks for a name where a login may
// create one, and none that has the owner's rights is everyone's.
func TestFunctionsFindNoOthers(t *testing.T) {
	conn := postgrestest.Connect(t, server.Database(t))
	rows, err := conn.Query(t.Context(), `SELECT proname, coalesce(array_to_string(proconfig, ' '), ''), prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE')
		FROM pg_proc p WHERE pronamespace = 'public'::regnamespace`)
	if err != nil {
		t.Fatal(err)
	}
	var name, settings string
	var open bool
	found := 0
	_, err = pgx.ForEachRow(rows, []any{&name, &settings, &open}, func() error {
		found++
		if settings != "search_path=pg_catalog, pg_temp" || open {
			t.Errorf("%s has %q, open to everyone: %v", name, settings, open)
		}
		return nil
	})
	if err != nil || found < 10 {
		t.Error(found, err)
	}
}

// TestLocksOfReplicas: whatever a replica locks, changes go on and others report.
func TestLocksOfReplicas(t *testing.T) {
	cfg, writer, replica := withRoles(t, "locks")
	for _, sql := range []string{
		`SELECT FROM meta FOR UPDATE`, `SELECT FROM meta FOR KEY SHARE`, `SELECT FROM state_lock FOR SHARE`, `SELECT FROM journal FOR KEY SHARE`, `DELETE FROM replica_lost`,
	} {
		wantRefused(t, replica, denied, sql)
	}
	for _, table := range []string{"meta", "journal", "key_record", "replica", "replica_lost", "usage", "usage_batch"} {
		wantRefused(t, replica, denied, `DO $$ BEGIN LOCK TABLE `+table+` IN SHARE MODE; END $$`)
	}
	if _, err := replica.Exec(t.Context(), `SELECT pg_advisory_lock(n), pg_advisory_lock_shared(n) FROM generate_series(x'6b657977617264'::bigint - 20, x'6b657977617264'::bigint + 20) AS n`); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec(t.Context(), `SET lock_timeout = '5s'`); err != nil {
		t.Fatal(err)
	}
	if err := create(t.Context(), openStore(t, cfg), aKey(t, "one")); err != nil {
		t.Error(err)
	}
	if _, err := writer.Exec(t.Context(), `SELECT keyward_cut_journal('30 days')`); err != nil {
		t.Error(err)
	}
}

// TestUpkeepLeavesLocked: a row that a login keeps locked stays, and delays nothing.
func TestUpkeepLeavesLocked(t *testing.T) {
	cfg, writer, replica := withRoles(t, "locked")
	for _, name := range []string{"one", "two"} {
		if _, err := replica.Exec(t.Context(), `INSERT INTO replica (name, identity, epoch, applied, held) VALUES ($1, '', '', 0, 0)`, name); err != nil {
			t.Fatal(err)
		}
	}
	postgrestest.Exec(t, cfg, `UPDATE replica SET at = at - interval '60 days'`)
	if _, err := replica.Exec(t.Context(), `BEGIN; SELECT FROM replica WHERE name = 'one' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec(t.Context(), `SET lock_timeout = '5s'`); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, writer, `SELECT keyward_cut_replicas('30 days')`); got != "1" {
		t.Errorf("%s are cut", got)
	}
}

// TestNumbersGrow: whatever a writer writes, no number is used twice or skips what other
// changes could have.
func TestNumbersGrow(t *testing.T) {
	cfg, writer, _ := withRoles(t, "numbers")
	s := openStore(t, cfg)
	if err := create(t.Context(), s, aKey(t, "one")); err != nil {
		t.Fatal(err)
	}
	const line = `INSERT INTO journal (seq, epoch, kind, line) SELECT n, epoch, 'key', '{}' FROM meta, unnest($1::bigint[]) AS n`
	const entry = `INSERT INTO audit (seq, change_id, time, actor, actor_key, action, target, outcome, operation, line) SELECT n, gen_random_uuid(), now(), '', '', '', '', '', '', '{}' FROM unnest($1::bigint[]) AS n`
	for _, seqs := range [][]int64{{1<<63 - 1}, {0}, {-9}, {2, 1<<63 - 1}, {1 << 40}} {
		wantRefused(t, writer, violation, line, seqs)
		wantRefused(t, writer, violation, entry, seqs)
		wantRefused(t, writer, violation, `UPDATE meta SET last_seq = ($1::bigint[])[array_length($1, 1)]`, seqs)
	}
	if _, err := writer.Exec(t.Context(), line, []int64{8, 9}); err != nil {
		t.Fatal(err)
	}
	for _, seqs := range [][]int64{{7}, {7, 10}, {2}} { // before lines that are there
		wantRefused(t, writer, violation, line, seqs)
	}
	postgrestest.Exec(t, cfg, `UPDATE meta SET cut_seq = 9; DELETE FROM journal`)
	wantRefused(t, writer, violation, line, []int64{9})
	if err := create(t.Context(), s, aKey(t, "two")); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, writer, `SELECT last_seq || ' ' || (SELECT string_agg(seq::text, ' ') FROM journal) FROM meta`); got != "10 10" {
		t.Errorf("the last number, and those of lines: %s", got)
	}
	if _, err := writer.Exec(t.Context(), entry, []int64{20}); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, writer, `SELECT last_seq FROM meta`); got != "20" {
		t.Errorf("after an entry the last number is %s", got)
	}
}

// TestLines: no row has what no reader accepts.
func TestLines(t *testing.T) {
	cfg := server.Database(t)
	owner := postgrestest.Connect(t, cfg)
	const entry = `INSERT INTO audit (seq, change_id, time, actor, actor_key, action, target, outcome, operation, line) VALUES (1, gen_random_uuid(), now(), '', '', '', '', '', '', `
	inserts := []string{`INSERT INTO journal (seq, epoch, kind, line) VALUES (1, gen_random_uuid(), 'key', `, entry}
	for _, table := range []string{"key_record", "user_record", "project", "client", "revocation"} {
		columns, values := "", ""
		switch table {
		case "key_record":
			columns, values = ", user_name, project", ", '', ''"
		case "user_record":
			columns, values = ", ended", ", false"
		case "revocation":
			columns, values = ", token_id, session_id, subject", ", '', '', ''"
		}
		inserts = append(inserts, fmt.Sprintf(`INSERT INTO %s (id, made_seconds, made_nanos, deleted, seq%s, line) VALUES ('x', 0, 0, false, 1%s, `, table, columns, values))
	}
	for _, insert := range inserts {
		wantRefused(t, owner, violation, insert+`repeat('x', 1048577))`)
		wantRefused(t, owner, violation, insert+`E'{}\n{}')`)
		if _, err := owner.Exec(t.Context(), insert+`repeat('x', 1048576))`); err != nil {
			t.Errorf("%s: %v", insert, err)
		}
	}
	wantRefused(t, owner, violation, `INSERT INTO journal (seq, epoch, kind, line) VALUES (2, gen_random_uuid(), repeat('k', 65), '{}')`)
}

// TestIdsAreFixed: a row stays that of its record.
func TestIdsAreFixed(t *testing.T) {
	_, writer, _ := withRoles(t, "fixed")
	for _, table := range []string{"key_record", "user_record", "project", "client"} {
		wantRefused(t, writer, denied, `UPDATE `+table+` SET id = 'other'`)
	}
}

// TestWhatReplicasWrite: rows of replicas are bounded, are of the login and have the
// database's time.
func TestWhatReplicasWrite(t *testing.T) {
	cfg, _, replica := withRoles(t, "bounded")
	insert := func(values string) string {
		return `INSERT INTO replica (name, identity, epoch, applied, held, lost, lost_digest) VALUES ` + values
	}
	for _, values := range []string{
		`(repeat('x', 256), '', '', 0, 0, 0, '')`, `('x', repeat('x', 65), '', 0, 0, 0, '')`, `('x', '', repeat('x', 65), 0, 0, 0, '')`, `('x', '', '', -1, 0, 0, '')`,
		`('x', '', '', 0, -1, 0, '')`, `('x', '', '', 0, 0, -1, '')`, `('x', '', '', 0, 0, 0, repeat('x', 129))`,
	} {
		wantRefused(t, replica, violation, insert(values))
	}
	for _, table := range []string{"replica", "usage", "usage_batch"} {
		wantRefused(t, replica, denied, `UPDATE `+table+` SET at = 'infinity'`)
	}
	wantRefused(t, replica, violation, `INSERT INTO usage (key_id, replica, totals, days, last) VALUES (repeat('x', 256), 'x', '', '', 0)`)
	wantRefused(t, replica, violation, `INSERT INTO usage (key_id, replica, totals, days, last) VALUES ('x', repeat('x', 256), '', '', 0)`)
	wantRefused(t, replica, violation, `INSERT INTO usage_batch (replica, batch) VALUES ('x', repeat('x', 256))`)
	if _, err := replica.Exec(t.Context(), `SET ROLE keyward_replica; `+insert(`('x', '', '', 0, 0, 0, '')`)); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, replica, `SELECT login FROM replica`); got != "bounded_replica" {
		t.Errorf("by another role the login is %s", got)
	}
	lost := `INSERT INTO replica_lost (replica, kind, id, seq, what) SELECT 'x', 'key', i::text, i, 'ended' FROM generate_series(1, 1000) AS i`
	for _, values := range []string{`('x', repeat('x', 65), 'a', 1, 'ended')`, `('x', 'key', repeat('x', 1025), 1, 'ended')`, `('x', 'key', 'a', 1, E'\033[2J')`} {
		wantRefused(t, replica, violation, `INSERT INTO replica_lost (replica, kind, id, seq, what) VALUES `+values)
	}
	if _, err := replica.Exec(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, replica, violation, `INSERT INTO replica_lost (replica, kind, id, seq, what) VALUES ('x', 'key', 'one more', 1, 'ended')`)
	if _, err := replica.Exec(t.Context(), insert(`('y', '', '', 0, 0, 0, '')`)+`; SELECT keyward_forget_lost('y'); `+strings.ReplaceAll(lost, "'x'", "'y'")+`; SELECT keyward_forget_lost('x')`); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, replica, `SELECT string_agg(DISTINCT replica, ' ') FROM replica_lost`); got != "y" {
		t.Errorf("there are lists of %s", got)
	}
	wantRefused(t, replica, violation, `INSERT INTO replica (name, identity, epoch, applied, held) SELECT i, '', '', 0, 0 FROM generate_series(1, 9999) AS i`)
	postgrestest.Exec(t, cfg, `UPDATE replica SET at = now() - interval '60 days'`)
	var now bool
	if err := replica.QueryRow(t.Context(), `UPDATE replica SET applied = 1 WHERE name = 'x' RETURNING at > now() - interval '1 minute'`).Scan(&now); err != nil || !now {
		t.Errorf("an update has an earlier time: %v", err)
	}
}
