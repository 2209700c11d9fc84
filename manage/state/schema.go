package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// applicationID identifies the file as Keyward's ("Kwrd"), in SQLite's header.
const applicationID = 0x4b777264

// migrations bring a file's schema from each version to the next; the file has its
// version as user_version. Other processes may have the file open meanwhile, with
// the older program: a migration adds tables, and columns whose default means
// what it meant not to have them.
//
// Times are milliseconds since 1970.
var migrations = []string{`
CREATE TABLE session (
	hash         BLOB PRIMARY KEY, -- of the cookie
	id           TEXT NOT NULL UNIQUE,
	user         TEXT NOT NULL,
	login_method TEXT NOT NULL,
	roles        TEXT NOT NULL, -- JSON
	address      TEXT NOT NULL,
	login        INTEGER NOT NULL,
	seen         INTEGER NOT NULL,
	expires      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_user ON session (user, seen);
CREATE INDEX session_expires ON session (expires);

CREATE TABLE code (
	hash    BLOB PRIMARY KEY,
	purpose TEXT NOT NULL,
	subject TEXT NOT NULL,
	expires INTEGER NOT NULL,
	UNIQUE (purpose, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX code_expires ON code (expires);

CREATE TABLE idempotency (
	hash    BLOB PRIMARY KEY, -- of the caller and its key
	caller  TEXT NOT NULL,
	digest  BLOB NOT NULL, -- of the request
	record  TEXT NOT NULL, -- the id that the request's record gets
	owner   INTEGER NOT NULL, -- the process that makes the attempt, or 0
	attempt INTEGER NOT NULL,
	answer  BLOB, -- NULL until the attempt is finished
	size    INTEGER NOT NULL, -- of the answer
	expires INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_caller ON idempotency (caller, size);
CREATE INDEX idempotency_unfinished ON idempotency (owner) WHERE answer IS NULL;
CREATE INDEX idempotency_expires ON idempotency (expires);
`, `
ALTER TABLE code ADD COLUMN version TEXT NOT NULL DEFAULT ''; -- of the subject's record
`, `
CREATE TABLE entry (
	one INTEGER PRIMARY KEY CHECK (one = 1), -- there is one row
	seq INTEGER NOT NULL -- of the audit log's entry of the last change
) STRICT;
`, `
CREATE TABLE "grant" (
	id      TEXT PRIMARY KEY,
	user    TEXT NOT NULL,
	client  TEXT NOT NULL,
	scopes  TEXT NOT NULL, -- JSON
	gen     INTEGER NOT NULL,
	address TEXT NOT NULL,
	began   INTEGER NOT NULL,
	expires INTEGER NOT NULL -- of its latest refresh token
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_user ON "grant" (user, client, began);
CREATE INDEX grant_expires ON "grant" (expires);

CREATE TABLE refresh (
	hash      BLOB PRIMARY KEY,
	grant_id  TEXT NOT NULL,
	expires   INTEGER NOT NULL,
	used      INTEGER, -- NULL: not yet
	successor BLOB     -- encrypted under the token
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_grant ON refresh (grant_id);
CREATE INDEX refresh_expires ON refresh (expires);
`, `
ALTER TABLE "grant" ADD COLUMN client_gen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "grant" ADD COLUMN resources TEXT NOT NULL DEFAULT 'null'; -- JSON
ALTER TABLE "grant" ADD COLUMN auth_time INTEGER NOT NULL DEFAULT 0;

CREATE TABLE auth_code (
	hash         BLOB PRIMARY KEY,
	grant_id     TEXT NOT NULL,
	redirect_uri TEXT NOT NULL,
	challenge    TEXT NOT NULL,
	nonce        TEXT NOT NULL,
	expires      INTEGER NOT NULL,
	used         INTEGER -- NULL: not yet
) STRICT, WITHOUT ROWID;
CREATE INDEX auth_code_grant ON auth_code (grant_id);

CREATE TABLE consent (
	user   TEXT NOT NULL,
	client TEXT NOT NULL,
	scopes TEXT NOT NULL, -- JSON
	given  INTEGER NOT NULL,
	PRIMARY KEY (user, client)
) STRICT, WITHOUT ROWID;

CREATE TABLE issuer_session (
	hash         BLOB PRIMARY KEY, -- of the cookie
	id           TEXT NOT NULL UNIQUE,
	user         TEXT NOT NULL,
	login_method TEXT NOT NULL,
	roles        TEXT NOT NULL, -- JSON
	address      TEXT NOT NULL,
	login        INTEGER NOT NULL,
	seen         INTEGER NOT NULL,
	expires      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX issuer_session_user ON issuer_session (user, seen);
CREATE INDEX issuer_session_expires ON issuer_session (expires);
`}

// busyRetry is how long to wait before a file that another process has locked is
// tried again.
const busyRetry = 5 * time.Millisecond

// migrateWhenFree calls migrate until no other process has the file locked, at most
// for busyTimeout. SQLite does not wait by itself while the journal mode changes,
// which it does when several processes open a new file at once.
func migrateWhenFree(ctx context.Context, pool *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, busyTimeout)
	defer cancel()
	for {
		err := migrate(ctx, pool)
		if !isBusy(err) {
			return err
		}
		select {
		case <-time.After(busyRetry):
		case <-ctx.Done():
			return err
		}
	}
}

// migrate checks whose file it is before it changes anything, sets the journal
// mode, which is not possible in a transaction, and brings the schema up to date.
func migrate(ctx context.Context, pool *sql.DB) error {
	if _, err := schemaVersion(ctx, pool); err != nil {
		return err
	}
	var mode string
	if err := pool.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("its file system does not support SQLite's WAL mode (journal mode is %s)", mode)
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // has no effect after Commit
	version, err := schemaVersion(ctx, tx)
	if err != nil || version == len(migrations) {
		return err
	}
	for _, migration := range migrations[version:] {
		if _, err := tx.ExecContext(ctx, migration); err != nil {
			return fmt.Errorf("changing the schema from version %d: %w", version, err)
		}
		version++
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version)); err != nil {
		return err
	}
	return tx.Commit()
}

// queryer is a transaction, or a pool of connections.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// schemaVersion returns the version of the schema: 0 for an empty file, an error
// for a file that this program must not use.
func schemaVersion(ctx context.Context, q queryer) (int, error) {
	var id, version, objects int
	err := q.QueryRowContext(ctx, `SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id, pragma_user_version`).Scan(&id, &version, &objects)
	switch {
	case isNotADatabase(err):
		return 0, fmt.Errorf("%w: not an SQLite file", ErrWrongFile)
	case err != nil:
		return 0, err
	case id == 0 && version == 0 && objects == 0:
		return 0, nil
	case id != applicationID:
		return 0, fmt.Errorf("%w: an SQLite file of another application", ErrWrongFile)
	case version > len(migrations):
		return 0, fmt.Errorf("%w: its schema has version %d, and this program knows %d", ErrNewer, version, len(migrations))
	case version < 1:
		return 0, fmt.Errorf("%w: its schema has no version", ErrWrongFile)
	}
	return version, nil
}

// isNotADatabase reports whether SQLite does not know the file's format.
func isNotADatabase(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code() == sqlite3.SQLITE_NOTADB
}

// isBusy reports whether another connection has the file locked. The upper bits of
// the code say more.
func isBusy(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == sqlite3.SQLITE_BUSY
}
