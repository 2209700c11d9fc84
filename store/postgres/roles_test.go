package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres/database"
)

// TestRoles: each role can do what it is for, and no more.
func TestRoles(t *testing.T) {
	cfg := server.Database(t)
	for range 2 { // it may be executed again
		postgrestest.Exec(t, cfg, database.RolesSQL())
	}
	writing, reading := server.As(t, cfg, "member_of_writers", "keyward_writer"), server.As(t, cfg, "member_of_replicas", "keyward_replica")
	useAsWriter(t, writing)
	if err := create(t.Context(), openStore(t, reading), aKey(t, "by a replica")); !errors.Is(err, database.ErrUnavailable) {
		t.Errorf("a replica changes records: %v", err)
	}
	deny := map[string][]string{
		"keyward_writer": {
			`DELETE FROM journal`, `UPDATE journal SET line = ''`, `TRUNCATE journal`, `DELETE FROM audit`, `UPDATE audit SET actor = ''`, `DELETE FROM key_record`,
			`DELETE FROM key_secret`, `UPDATE key_secret SET key_id = ''`, `DELETE FROM revocation`, `UPDATE revocation SET line = ''`, `UPDATE meta SET pepper = ''`,
			`UPDATE signing_key SET id = ''`, `DELETE FROM signing_set`,
			`UPDATE meta SET epoch = gen_random_uuid()`, `CREATE TABLE t ()`, `DROP TABLE journal`, `SELECT * FROM goose_db_version`,
		},
		"keyward_replica": {
			`SELECT * FROM state_session`, `SELECT * FROM state_code`, `SELECT * FROM state_idempotency`, `SELECT * FROM state_entry`, `SELECT * FROM state_grant`, `SELECT * FROM state_refresh`, `DELETE FROM state_session`,
			`SELECT * FROM signing_key`, `SELECT * FROM signing_set`, `DELETE FROM signing_key`, `UPDATE signing_set SET version = 1`,
			`SELECT * FROM audit`, `SELECT * FROM key_secret`, `SELECT * FROM key_record`, `SELECT * FROM user_record`, `INSERT INTO journal SELECT * FROM journal`,
			`UPDATE meta SET last_seq = 0`, `DELETE FROM journal`, `UPDATE snapshot SET line = ''`, `CREATE TABLE t ()`, `SELECT * FROM goose_db_version`,
			`UPDATE meta SET epoch = gen_random_uuid()`, `UPDATE replica_lost SET login = 'another'`,
		},
	}
	allow := map[string][]string{
		"keyward_writer":  {`SELECT * FROM snapshot`, `SELECT * FROM journal`},
		"keyward_replica": {`SELECT seq, line FROM journal`, `SELECT kind, id, seq, line FROM snapshot`, `SELECT identity, epoch FROM meta`, `LISTEN keyward_journal`},
	}
	for role, of := range map[string]database.Config{"keyward_writer": writing, "keyward_replica": reading} {
		conn := postgrestest.Connect(t, of)
		for _, sql := range deny[role] {
			_, err := conn.Exec(t.Context(), sql)
			var refused *pgconn.PgError
			if !errors.As(err, &refused) || refused.Code != "42501" && refused.Code != "55000" { // insufficient_privilege, or a view
				t.Errorf("%s: %s: %v", role, sql, err)
			}
		}
		for _, sql := range allow[role] {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Errorf("%s: %s: %v", role, sql, err)
			}
		}
	}
}

// useAsWriter does all that a Store does.
func useAsWriter(t *testing.T, cfg database.Config) {
	t.Helper()
	s := openStore(t, cfg)
	now := time.Now().UTC()
	key, user := aKey(t, "one"), store.UserRecord{Name: "alice", Created: now, At: now}
	for range 2 {
		put(t, s.KeyEditor(), &key, anEntry(audit.KeyImport, key.ID))
		key.ID, key.Hash[0] = aKey(t, "other").ID, key.Hash[0]+1
		put(t, s.UserEditor(), &user, anEntry(audit.UserUpdate, "alice"))
		put(t, s.ProjectEditor(), &store.Project{Name: "web", Created: now, At: now}, anEntry(audit.ProjectUpdate, "web"))
		client := store.Client{ID: "c_0123456789ab", Public: true, Created: now, At: now}
		put(t, s.ClientEditor(), &client, anEntry(audit.ClientUpdate, client.ID))
		put(t, s.RevocationEditor(), &store.Revocation{TokenID: "t", At: now}, anEntry(audit.RevocationCreate, "t"))
	}
	e := anEntry(audit.SessionEnd, "s")
	if err := s.Audit().Change(t.Context(), e, func(int64) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := s.Audit().Note(t.Context(), anEntry(audit.Read, "one")); err != nil {
		t.Error(err)
	}
	_, errFind := s.Keys().FindBySecret(t.Context(), authz.NewSecret("none"))
	_, errEnded := s.Users().Ended(t.Context())
	_, errMade := s.Keys().LatestKeys(t.Context(), []string{"alice"})
	made, errLookUp := s.wasMade(t.Context(), e.Seq, newChangeID())
	if !errors.Is(errFind, store.ErrNotFound) || errEnded != nil || errMade != nil || errLookUp != nil || made {
		t.Error(errFind, errEnded, errMade, errLookUp, made)
	}
}
