package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/chars"
	"keyward/cmd/keyward/command"
	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
)

// unbounded returns a database whose rows about replicas may be any, with one of each
// kind.
func unbounded(t *testing.T) (cfg database.Config, config string) {
	t.Helper()
	cfg = postgresServer.Database(t)
	for _, sql := range []string{
		`ALTER TABLE replica DISABLE TRIGGER USER`, `ALTER TABLE replica_lost DISABLE TRIGGER USER`,
		`ALTER TABLE replica DROP CONSTRAINT IF EXISTS replica_texts, DROP CONSTRAINT IF EXISTS replica_numbers`,
		`ALTER TABLE replica_lost DROP CONSTRAINT IF EXISTS replica_lost_texts, DROP CONSTRAINT IF EXISTS replica_lost_what, DROP CONSTRAINT replica_lost_login_replica_fkey`,
		`INSERT INTO replica (login, name, identity, epoch, applied, held, lost) VALUES ('sidecar', 'spoilt', 'i', 'e', 1, 0, 1), ('sidecar', 'whole', 'i', 'e', 1, 0, 1)`,
		`INSERT INTO replica_lost (login, replica, kind, id, seq, what) VALUES ('sidecar', 'spoilt', 'key', 'k_1', 1, 'ended'), ('sidecar', 'whole', 'key', 'k_whole', 1, 'ended')`,
	} {
		postgrestest.Exec(t, cfg, sql)
	}
	_, config = emptyInstallation(t, withDatabase(cfg))
	return cfg, config
}

// shownStatus is what `store status` prints as text and as JSON, which are well-formed and
// control no terminal.
func shownStatus(t *testing.T, config string) (text, asJSON string) {
	t.Helper()
	for _, args := range [][]string{{"status", "--config", config}, {"status", "--config", config, "--json"}} {
		code, stdout, stderr := storeCommand(t, args...)
		if code != command.Done || stderr != "" {
			t.Fatalf("exit code %d, %s", code, stderr)
		}
		if strings.ContainsFunc(strings.ReplaceAll(stdout, "\n", ""), chars.IsHidden) {
			t.Errorf("hidden characters: %q", stdout)
		}
		text, asJSON = asJSON, stdout
	}
	if !json.Valid([]byte(asJSON)) {
		t.Errorf("not JSON: %s", asJSON)
	}
	return text, asJSON
}

// TestHostileStatus: no value of a column hides the other rows, makes a line of its own or
// controls the terminal.
func TestHostileStatus(t *testing.T) {
	cfg, config := unbounded(t)
	text, _ := shownStatus(t, config)
	lines := strings.Count(text, "\n")
	hostile := []string{"\x1b[2J\x1b[1;1H", "a\nb", "a\tb\r", "\u202eab", "a\u009bb", `"`, "", strings.Repeat("x", 5000)}
	numbers := []string{"-9223372036854775808", "-1", "9223372036854775807"}
	for column, values := range map[string][]string{
		"replica.name": hostile, "replica.login": hostile, "replica.identity": hostile, "replica.epoch": hostile,
		"replica.applied": numbers, "replica.held": numbers, "replica.lost": numbers,
		"replica.at":        {"infinity", "-infinity", "294276-12-31", "4713-01-01 BC", "10000-01-01"},
		"replica_lost.kind": hostile, "replica_lost.id": hostile, "replica_lost.what": hostile, "replica_lost.seq": numbers,
	} {
		table, name, _ := strings.Cut(column, ".")
		for _, value := range values {
			of := map[string]string{"replica": "name", "replica_lost": "replica"}[table]
			change := []string{fmt.Sprintf(`UPDATE %s SET %s = $1::text::%s WHERE %s = 'spoilt'`, table, name, typeOf(name), of)}
			switch column { // what the database lacks stays that of the replica
			case "replica.name":
				change = append(change, `UPDATE replica_lost SET replica = $1::text WHERE replica = 'spoilt'`)
			case "replica.login":
				change = append(change, `UPDATE replica_lost SET login = $1::text WHERE replica = 'spoilt'`)
			}
			for _, sql := range change {
				postgrestest.Exec(t, cfg, sql, value)
			}
			got, asJSON := shownStatus(t, config)
			n := strings.Count(got, "\n")
			if more := strings.Count(got, " more\n"); n-more != lines || !strings.Contains(got, "key k_whole: ended (change 1)\n") || !strings.Contains(asJSON, `"id":"k_whole"`) {
				t.Errorf("%s = %.40q: %d lines, want %d:\n%.2000s", column, value, n, lines, got)
			}
			postgrestest.Exec(t, cfg, `UPDATE replica SET login = 'sidecar', name = CASE WHEN name = 'whole' THEN name ELSE 'spoilt' END, identity = 'i', epoch = 'e', applied = 1, held = 0, lost = 1, at = now()`)
			postgrestest.Exec(t, cfg, `UPDATE replica_lost SET login = 'sidecar', replica = CASE WHEN id = 'k_whole' THEN 'whole' ELSE 'spoilt' END, kind = 'key', id = CASE WHEN id = 'k_whole' THEN id ELSE 'k_1' END, what = 'ended', seq = 1`)
		}
	}
}

func typeOf(column string) string {
	switch {
	case column == "at":
		return "timestamptz"
	case slices.Contains([]string{"applied", "held", "lost", "seq"}, column):
		return "bigint"
	default:
		return "text"
	}
}

// TestLongStatus: what a login wrote in excess is not read, and hides no other login's.
func TestLongStatus(t *testing.T) {
	cfg, config := unbounded(t)
	for _, sql := range []string{
		`INSERT INTO replica (login, name, identity, epoch, applied, held, lost) SELECT 'eve', 'a' || n, '', '', 0, 0, 0 FROM generate_series(1, 5000) AS n`,
		`INSERT INTO replica_lost (login, replica, kind, id, seq, what) SELECT 'eve', 'a' || 4900 + r, 'key', n::text, 1, 'ended' FROM generate_series(1, 11) AS r, generate_series(1, 1100) AS n`,
		`UPDATE replica SET identity = repeat('x', 20000000), epoch = repeat('y', 20000000) WHERE name IN ('a1', 'spoilt')`,
	} {
		postgrestest.Exec(t, cfg, sql)
	}
	began := time.Now()
	text, asJSON := shownStatus(t, config)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if n := len(text) + len(asJSON); n > 5<<20 || !strings.Contains(text, "and 4000 more replicas") || !strings.Contains(asJSON, `"replicas_omitted":4000`) {
		t.Errorf("%d bytes: %.300s", n, text)
	}
	if n := strings.Count(text, ": ended (change 1)\n"); n != 10002 {
		t.Errorf("%d records are listed", n)
	}
	for _, want := range []string{"\nwhole ", "\nspoilt ", "  key k_whole: ended (change 1)\n", "  key k_1: ended (change 1)\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("it has no %q", want)
		}
	}
}

// TestHostilePepper: what a database says of its secrets does not control the terminal.
func TestHostilePepper(t *testing.T) {
	cfg := postgresServer.Database(t)
	postgrestest.Exec(t, cfg, `UPDATE meta SET hash = $1::text, pepper = $1::text`, "\x1b[2J\nkeyward: done")
	_, config := emptyInstallation(t, withDatabase(cfg))
	for _, args := range []string{"status --config ", "migrate --config ", "accept-restore --config "} {
		code, stdout, stderr := storeCommand(t, strings.Fields(args+config)...)
		if code != command.Refused || stdout != "" || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "\x1b") {
			t.Errorf("%s: exit code %d, %q, %q", args, code, stdout, stderr)
		}
	}
}
