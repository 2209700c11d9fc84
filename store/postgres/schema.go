package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"keyward/apikey"
)

// The versions of the schema: that of the migrations of this program, and the oldest
// that it can serve.
const (
	schemaVersion = 1
	oldestSchema  = 1
)

// meta is what a database says of itself.
type meta struct {
	epoch        string
	lastSeq      int64
	hash, pepper *string // nil: no Keyward has migrated it
	schema       int32
	servesFrom   int32
	encoding     string
}

const selectMeta = `SELECT epoch::text, last_seq, hash, pepper, schema_version, serves_from, current_setting('server_encoding') FROM meta`

// queryRower is a connection, or a transaction of one.
type queryRower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readMeta reads what the database says of itself. A missing schema is ErrSchema.
func readMeta(ctx context.Context, q queryRower) (meta, error) {
	var m meta
	err := q.QueryRow(ctx, selectMeta).Scan(&m.epoch, &m.lastSeq, &m.hash, &m.pepper, &m.schema, &m.servesFrom, &m.encoding)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == undefinedTable || errors.Is(err, pgx.ErrNoRows) {
		return meta{}, fmt.Errorf("%w: it is missing: run keyward store migrate", ErrSchema)
	}
	return m, err
}

// check returns why a program with the hasher must not use the database.
func (m *meta) check(hasher *apikey.Hasher) error {
	switch {
	case m.schema < oldestSchema:
		return fmt.Errorf("%w: it has version %d, and the oldest that can be served is %d: run keyward store migrate", ErrSchema, m.schema, oldestSchema)
	case m.schema > schemaVersion && m.servesFrom > schemaVersion:
		return fmt.Errorf("%w: it has version %d, which serves programs from version %d on, and this one has %d", ErrSchema, m.schema, m.servesFrom, schemaVersion)
	case m.encoding != "UTF8":
		return fmt.Errorf("%w: the database's encoding is %s, and must be UTF8", ErrSchema, m.encoding)
	case hasher == nil:
		return nil
	case m.hash == nil || m.pepper == nil:
		return fmt.Errorf("%w: it does not say how secrets are hashed: run keyward store migrate", ErrSchema)
	case *m.hash != hasher.Name() || *m.pepper != hasher.PepperID():
		return fmt.Errorf("%w: the database's are of %s %s, this program's of %s %s", ErrPepper, *m.hash, *m.pepper, hasher.Name(), hasher.PepperID())
	}
	return nil
}

// checkDatabase returns why a program with the hasher must not use the database. Each
// connection is checked: after a restore or a failover it may be to another database.
func checkDatabase(ctx context.Context, q queryRower, hasher *apikey.Hasher) error {
	m, err := readMeta(ctx, q)
	if err != nil {
		return err
	}
	return m.check(hasher)
}
