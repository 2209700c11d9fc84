package database

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// SQL returns connections for package database/sql, at most limit. They are not those of
// the Pool: a transaction that has one of these may wait for one of those, and the other
// way round. They are to a server that takes changes, also for reading: a standby may
// lack what was changed last.
func (db *DB) SQL(limit int) *sql.DB {
	pool := db.Pool.Config()
	pool.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	options := []stdlib.OptionOpenDB{stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		err := pool.AfterConnect(ctx, conn)
		if err != nil {
			_ = conn.Close(ctx) // err says more
		}
		return err
	})}
	if pool.BeforeConnect != nil {
		options = append(options, stdlib.OptionBeforeConnect(pool.BeforeConnect))
	}
	connections := stdlib.OpenDB(*pool.ConnConfig, options...)
	connections.SetMaxOpenConns(limit)
	connections.SetMaxIdleConns(limit)
	connections.SetConnMaxIdleTime(pool.MaxConnIdleTime)
	connections.SetConnMaxLifetime(pool.MaxConnLifetime)
	return connections
}
