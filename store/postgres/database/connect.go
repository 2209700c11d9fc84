package database

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ConnectTimeout bounds how long a connection may take if the URL does not say it.
const ConnectTimeout = 5 * time.Second

// maxConns bounds the pool if the URL does not say it. pgx would have a connection per
// core of the machine, and a database has few connections for all machines together.
const maxConns = 4

// poolConfig returns how the pool connects.
func (cfg *Config) poolConfig() (*pgxpool.Config, error) {
	text, err := cfg.URL.ConnString(os.Getenv)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, err // pgx leaves the password out of it
	}
	if !cfg.URL.Has("pool_max_conns") {
		pool.MaxConns = maxConns
	}
	// Prepared statements belong to a connection, which a pooler may exchange between two
	// transactions.
	pool.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	if pool.ConnConfig.ConnectTimeout == 0 {
		pool.ConnConfig.ConnectTimeout = ConnectTimeout
	}
	if pool.ConnConfig.RuntimeParams["application_name"] == "" {
		pool.ConnConfig.RuntimeParams["application_name"] = "keyward"
	}
	if pool.ConnConfig.ValidateConnect == nil && len(pool.ConnConfig.Fallbacks) > 0 {
		// Of several hosts, the primary: the first that answers may be a standby.
		pool.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if cfg.Dial != nil {
		pool.ConnConfig.DialFunc = cfg.Dial
	}
	if cfg.PasswordFile != "" {
		pool.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) (err error) {
			c.Password, err = readPassword(cfg.PasswordFile)
			return err
		}
	}
	return pool, nil
}

// readPassword reads the file, without one trailing newline. The error does not quote it.
func readPassword(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the database's password: %w", err)
	}
	return strings.TrimSuffix(string(text), "\n"), nil
}
