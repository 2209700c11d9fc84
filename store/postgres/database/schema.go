package database

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
	SchemaVersion = 4
	OldestSchema  = 2
)

// Meta is what a database says of itself.
type Meta struct {
	Epoch        string
	LastSeq      int64   // of what was changed last
	hash, pepper *string // nil: no Keyward has migrated it
	schema       int32
	servesFrom   int32
	encoding     string
}

const selectMeta = `SELECT epoch::text, last_seq, hash, pepper, schema_version, serves_from, current_setting('server_encoding') FROM meta`

// QueryRower is a connection, or a transaction of one.
type QueryRower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readMeta reads what the database says of itself. A missing schema is ErrSchema.
func readMeta(ctx context.Context, q QueryRower) (Meta, error) {
	var m Meta
	err := q.QueryRow(ctx, selectMeta).Scan(&m.Epoch, &m.LastSeq, &m.hash, &m.pepper, &m.schema, &m.servesFrom, &m.encoding)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == undefinedTable || errors.Is(err, pgx.ErrNoRows) {
		return Meta{}, fmt.Errorf("%w: it is missing: run keyward store migrate", ErrSchema)
	}
	return m, err
}

// Check returns why a program with the hasher must not use the database: ErrSchema, or
// ErrPepper. A nil hasher is that of a program which uses no secret.
func (m *Meta) Check(hasher *apikey.Hasher) error {
	switch {
	case m.schema < OldestSchema:
		return fmt.Errorf("%w: it has version %d, and the oldest that can be served is %d: run keyward store migrate", ErrSchema, m.schema, OldestSchema)
	case m.schema > SchemaVersion && m.servesFrom > SchemaVersion:
		return fmt.Errorf("%w: it has version %d, which serves programs from version %d on, and this one has %d", ErrSchema, m.schema, m.servesFrom, SchemaVersion)
	case m.encoding != "UTF8":
		return fmt.Errorf("%w: the database's encoding is %s, and must be UTF8", ErrSchema, m.encoding)
	case hasher == nil:
		return nil
	case m.hash == nil || m.pepper == nil:
		return fmt.Errorf("%w: it does not say how secrets are hashed: run keyward store migrate", ErrSchema)
	case *m.hash != hasher.Name() || *m.pepper != hasher.PepperID():
		return fmt.Errorf("%w: the database's are of %q %q, this program's of %s %s", ErrPepper, *m.hash, *m.pepper, hasher.Name(), hasher.PepperID())
	}
	return nil
}

// Meta reads what the database says of itself. It returns ErrSchema or ErrPepper if this
// program must not use the database.
func (db *DB) Meta(ctx context.Context, q QueryRower) (Meta, error) {
	m, err := readMeta(ctx, q)
	if err == nil {
		err = m.Check(db.Hasher)
	}
	return m, err
}
