package database

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed roles.sql
var rolesSQL string

// RolesSQL returns the statements that make the two roles, which an administrator of
// the database runs once: one for Keywards that change records, and one for those that
// only copy them.
func RolesSQL() string { return rolesSQL }

// Migrate brings the database's schema to this program's version, under a lock, and
// says in it how secrets are hashed if nothing does. A schema that is newer than this
// program stays as it is, and is ErrSchema unless this program can serve it. Nothing
// else migrates.
func Migrate(ctx context.Context, cfg Config) error {
	to, err := cfg.connection(ctx)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*to)
	defer db.Close()
	if err := refuseOpenSchema(ctx, db); err != nil {
		return Failed(ctx, err)
	}
	if err := migrateUp(ctx, db); err != nil {
		return Failed(ctx, err)
	}
	conn, err := pgx.ConnectConfig(ctx, to)
	if err != nil {
		return Failed(ctx, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if cfg.Hasher != nil {
		_, err := conn.Exec(ctx, `UPDATE meta SET hash = $1::text, pepper = $2::text WHERE hash IS NULL`, cfg.Hasher.Name(), cfg.Hasher.PepperID())
		if err != nil {
			return Failed(ctx, err)
		}
	}
	_, err = (&DB{Hasher: cfg.Hasher}).Meta(ctx, conn)
	return Failed(ctx, err)
}

// Version returns the version of the database's schema; zero if it has none.
func Version(ctx context.Context, cfg Config) (int, error) {
	to, err := cfg.connection(ctx)
	if err != nil {
		return 0, err
	}
	conn, err := pgx.ConnectConfig(ctx, to)
	if err != nil {
		return 0, Failed(ctx, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	m, err := readMeta(ctx, conn)
	if errors.Is(err, ErrSchema) {
		return 0, nil
	}
	return int(m.schema), Failed(ctx, err)
}

// connection returns how one connection is made, with the password.
func (cfg *Config) connection(ctx context.Context) (*pgx.ConnConfig, error) {
	pool, err := cfg.poolConfig()
	if err == nil && pool.BeforeConnect != nil {
		err = pool.BeforeConnect(ctx, pool.ConnConfig)
	}
	if err != nil {
		return nil, err
	}
	return pool.ConnConfig, nil
}

// ErrOpenSchema is a schema in which every login may create functions and tables, as in
// databases that Postgres 14 and earlier made: a login could have statements of the
// owner call what it created (CVE-2018-1058).
var ErrOpenSchema = errors.New("every login may create functions in the schema")

// refuseOpenSchema returns ErrOpenSchema for the schema in which the tables are made.
func refuseOpenSchema(ctx context.Context, db *sql.DB) error {
	var schema string
	var open bool
	err := db.QueryRowContext(ctx, `SELECT nspname::text, EXISTS (SELECT FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) WHERE grantee = 0 AND privilege_type = 'CREATE')
		FROM pg_namespace WHERE nspname = current_schema()`).Scan(&schema, &open)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // there is no schema, and no table can be made
	}
	if err == nil && open {
		return fmt.Errorf("%w %q: run REVOKE CREATE ON SCHEMA %s FROM PUBLIC as its owner, then migrate again", ErrOpenSchema, schema, pgx.Identifier{schema}.Sanitize())
	}
	return err
}

// migrateUp applies the migrations that the database lacks.
func migrateUp(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return fmt.Errorf("migration %s: %w", partial.Failed.Source.Path, partial.Err)
	}
	return err
}
