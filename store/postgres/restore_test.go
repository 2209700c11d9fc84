package postgres

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres/database"
	"keyward/store/postgres/upkeep"
)

// TestAcceptRestore: the owner accepts a restore: a new epoch with its entry. No other
// role does, and then nothing is changed.
func TestAcceptRestore(t *testing.T) {
	cfg := server.Database(t)
	postgrestest.Exec(t, cfg, database.RolesSQL())
	owner := openStore(t, cfg)
	epoch := func() string {
		t.Helper()
		m, err := owner.db.Meta(t.Context(), owner.db.Pool)
		if err != nil {
			t.Fatal(err)
		}
		return m.Epoch
	}
	before := epoch()
	for _, role := range []string{"keyward_writer", "keyward_replica"} {
		err := openStore(t, server.As(t, cfg, "restore_"+role, role)).AcceptRestore(t.Context(), &audit.Entry{Actor: role, Via: audit.ViaCLI})
		if !errors.Is(err, ErrNotOwner) || errors.Is(err, database.ErrUnavailable) {
			t.Errorf("%s accepts a restore: %v", role, err)
		}
	}
	if got, _, err := owner.Audit().List(t.Context(), store.AuditFilter{}, store.Page{}); err != nil || len(got) != 0 || epoch() != before {
		t.Errorf("after it was refused: %+v, %v", got, err)
	}
	if err := owner.AcceptRestore(t.Context(), &audit.Entry{Actor: "cli:root@host", Via: audit.ViaCLI}); err != nil {
		t.Fatal(err)
	}
	got, _, err := owner.Audit().List(t.Context(), store.AuditFilter{Action: audit.StoreAcceptRestore}, store.Page{})
	if err != nil || len(got) != 1 || got[0].Actor != "cli:root@host" || got[0].Outcome != audit.Done || epoch() == before {
		t.Errorf("after it was accepted: %+v, %v", got, err)
	}
}

// TestLostRows: a replica writes what it had seen, and reads and removes nothing of what
// another did. A writer reads all of it.
func TestLostRows(t *testing.T) {
	cfg := server.Database(t)
	postgrestest.Exec(t, cfg, database.RolesSQL())
	postgrestest.Exec(t, cfg, `INSERT INTO replica (name, login, identity, epoch, applied, held) VALUES ('one', 'one', '', '', 0, 0)`)
	postgrestest.Exec(t, cfg, `INSERT INTO replica_lost (login, replica, kind, id, seq, what) VALUES ('one', 'one', 'key', 'k_1', 1, 'ended')`)
	count := func(conn *pgx.Conn) (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM replica_lost`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	other := postgrestest.Connect(t, server.As(t, cfg, "lost_replica", "keyward_replica"))
	if _, err := other.Exec(t.Context(), `SELECT keyward_forget_lost('one')`); err != nil || count(other) != 0 || count(postgrestest.Connect(t, cfg)) != 1 {
		t.Errorf("a replica sees or removes rows of another: %v", err)
	}
	_, err := other.Exec(t.Context(), `INSERT INTO replica_lost (login, replica, kind, id, seq, what) VALUES ('one', 'one', 'key', 'k_1', 2, 'ended')`)
	if !database.IsDenied(err) {
		t.Errorf("a replica writes a row of another: %v", err)
	}
	if _, err := other.Exec(t.Context(), `INSERT INTO replica (name, identity, epoch, applied, held) VALUES ('one', '', '', 0, 0)`); err != nil {
		t.Fatal(err)
	}
	const insert = `INSERT INTO replica_lost (replica, kind, id, seq, what) VALUES ('one', 'key', 'k_1', 2, 'ended')`
	if _, err := other.Exec(t.Context(), insert); err != nil || count(other) != 1 {
		t.Errorf("its own row: %v", err)
	}
	writer := server.As(t, cfg, "lost_writer", "keyward_writer")
	if n := count(postgrestest.Connect(t, writer)); n != 2 {
		t.Errorf("a writer reads %d rows", n)
	}
	all, err := upkeep.Replicas(t.Context(), openStore(t, writer).db)
	if err != nil || len(all) != 2 || len(all[1].Records) != 1 || all[1].Records[0].Seq != 1 {
		t.Errorf("another login's row is shown as the replica's: %+v, %v", all, err)
	}
}
