package usagetable

import (
	"errors"
	"fmt"
	"testing"

	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestReplicasAreApart: a replica flushes to its own rows, and neither reads nor changes
// those of another login, nor folded ones, also when it has another's name.
func TestReplicasAreApart(t *testing.T) {
	cfg := server.Database(t)
	postgrestest.Exec(t, cfg, database.RolesSQL())
	one, two, console := server.As(t, cfg, "usage_one", "keyward_replica"), server.As(t, cfg, "usage_two", "keyward_replica"), server.As(t, cfg, "usage_console", "keyward_writer")
	for _, of := range []database.Config{one, two, console} {
		table := tableOf(t, of, "pod")
		record(t, table, allowed("k_a", 2, day)...)
		record(t, table, allowed("k_a", 1, day)...)
	}
	postgrestest.Exec(t, cfg, `INSERT INTO usage (key_id, login, replica, totals, days, last) VALUES ('k_b', 'usage_two', '', '', '', 1), ('k_b', '', '', '', '', 1)`)
	postgrestest.Exec(t, cfg, `INSERT INTO usage_batch (login, replica, batch) VALUES ('', '', ''), ('usage_two', '', '')`)
	before := content(t, cfg)

	conn := postgrestest.Connect(t, two)
	for _, table := range []string{"usage", "usage_batch"} {
		var rows, others int
		sql := fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE login <> session_user OR replica = '') FROM %s`, table)
		if err := conn.QueryRow(t.Context(), sql).Scan(&rows, &others); err != nil || rows != 1 || others != 0 {
			t.Errorf("%s: a replica sees %d rows, %d of others, %v", table, rows, others, err)
		}
	}
	for _, sql := range []string{
		`UPDATE usage SET totals = '' WHERE login <> 'usage_two' OR replica = ''`, `UPDATE usage_batch SET batch = '' WHERE login <> 'usage_two' OR replica = ''`,
	} {
		if done, err := conn.Exec(t.Context(), sql); err != nil || done.RowsAffected() != 0 {
			t.Errorf("%s: %v, %v", sql, done, err)
		}
	}
	for _, sql := range []string{
		`INSERT INTO usage (key_id, login, replica, totals, days, last) VALUES ('k_c', 'usage_one', 'pod', '', '', 1)`,
		`INSERT INTO usage (key_id, replica, totals, days, last) VALUES ('k_c', '', '', '', 1)`,
		`INSERT INTO usage_batch (login, replica, batch) VALUES ('usage_one', 'x', '')`, `INSERT INTO usage_batch (replica, batch) VALUES ('', '')`,
		`UPDATE usage SET login = 'usage_one'`, `UPDATE usage SET replica = ''`, `UPDATE usage SET key_id = 'k_c'`, `UPDATE usage_batch SET login = 'usage_one'`,
		`DELETE FROM usage`, `TRUNCATE usage`, `DELETE FROM usage_batch`, `ALTER TABLE usage DISABLE ROW LEVEL SECURITY`, `DROP POLICY keyward_replica ON usage`,
	} {
		_, err := conn.Exec(t.Context(), sql)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" { // insufficient_privilege
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, column := range []string{"totals", "days"} { // consoles read them
		_, err := conn.Exec(t.Context(), fmt.Sprintf(`UPDATE usage SET %s = repeat('x', 65537)`, column))
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "23514" { // check_violation
			t.Errorf("a long text in %s: %v", column, err)
		}
	}
	if err := tableOf(t, two, "pod").Fold(t.Context()); !errors.Is(err, database.ErrUnavailable) {
		t.Errorf("a replica folds: %v", err)
	}
	if after := content(t, cfg); after != before {
		t.Errorf("the rows are\n%s\nwant\n%s", after, before)
	}
	wantUses(t, tableOf(t, one, ""), map[string]uint64{"k_a": 3})
	wantUses(t, tableOf(t, console, ""), map[string]uint64{"k_a": 9})
	if err := tableOf(t, console, "").Fold(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNoPolicy: without the policies of roles.sql, a role that has the grants sees and
// writes nothing.
func TestNoPolicy(t *testing.T) {
	cfg := server.Database(t)
	postgrestest.Exec(t, cfg, database.RolesSQL())
	for _, role := range []string{"keyward_replica", "keyward_writer"} {
		for _, table := range []string{"usage", "usage_batch", "replica"} {
			postgrestest.Exec(t, cfg, fmt.Sprintf(`DROP POLICY %s ON %s`, role, table))
		}
		table := tableOf(t, server.As(t, cfg, "usage_no_policy", role), "pod")
		if err := table.Flush(batchOf(t, allowed("k_a", 1, day)...)); !errors.Is(err, database.ErrUnavailable) {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// content is what the tables have.
func content(t *testing.T, cfg database.Config) string {
	return scan[string](t, cfg, `SELECT (SELECT string_agg(usage::text, ' ' ORDER BY usage) FROM usage) || ' ' || (SELECT string_agg(b::text, ' ' ORDER BY b) FROM usage_batch b)`)
}
