package database

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"keyward/apikey"
	"keyward/store/postgres/pgurl"
)

// StatementTimeout bounds one statement: a connection may be dead without an error.
const StatementTimeout = 30 * time.Second

// Config is which database is used, and with what. What the URL does not name, the
// environment does, by the variables of libpq that pgx knows.
type Config struct {
	URL          pgurl.URL
	PasswordFile string // read for each connection; "": PGPASSWORD, .pgpass or none
	// Hasher hashes the secrets of keys and clients. A database whose secrets have
	// another pepper is ErrPepper. nil: for what uses no secret.
	Hasher *apikey.Hasher
	// Dial makes connections; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DB is a database, with a pool of connections. Each connection is checked when it is
// made: after a restore or a failover it may be to another database.
type DB struct {
	Pool   *pgxpool.Pool
	Hasher *apikey.Hasher // that of the Config
}

// Open returns the database. It opens no connection: a program starts without it.
func Open(cfg Config) (*DB, error) {
	pool, err := cfg.poolConfig()
	if err != nil {
		return nil, err
	}
	db := &DB{Hasher: cfg.Hasher}
	pool.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := db.Meta(ctx, conn)
		return err
	}
	db.Pool, err = pgxpool.NewWithConfig(context.Background(), pool)
	return db, err
}

// Close closes the connections and waits for those in use.
func (db *DB) Close() { db.Pool.Close() }

// Check returns why the database cannot be used; nil if it can.
func (db *DB) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StatementTimeout)
	defer cancel()
	_, err := db.Meta(ctx, db.Pool)
	return Failed(ctx, err)
}

// Dedicated returns a connection that the pool does not have.
func (db *DB) Dedicated(ctx context.Context) (*pgx.Conn, error) {
	pool := db.Pool.Config()
	cfg := pool.ConnConfig
	// Each host has its time: the first of them may be the one that is gone.
	ctx, cancel := context.WithTimeout(ctx, time.Duration(1+len(cfg.Fallbacks))*cfg.ConnectTimeout)
	defer cancel()
	if pool.BeforeConnect != nil {
		if err := pool.BeforeConnect(ctx, cfg); err != nil {
			return nil, err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := pool.AfterConnect(ctx, conn); err != nil {
		_ = conn.Close(ctx) // err says more
		return nil, err
	}
	return conn, nil
}
