package state

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
)

const (
	// busyTimeout bounds how long a change waits for one of another process; the
	// context may end the wait earlier.
	busyTimeout = 5 * time.Second
	// maxReaders bounds the connections that read. They wait for no writer.
	maxReaders = 4
	// keptWAL is the size in bytes to which a checkpoint cuts the WAL file.
	keptWAL = 4 << 20
)

// Config describes a state file and the sessions in it.
type Config struct {
	// Path names the file. It is created with mode 0600 if it does not exist; its
	// directory must exist. Beside it are Path-wal and Path-shm, which are SQLite's,
	// and Path.lock.
	Path string
	// SessionIdle and SessionMax bound a session from its last use and from its
	// login. With zero no session is valid.
	SessionIdle, SessionMax time.Duration
	Now                     func() time.Time // nil: time.Now
	Rand                    io.Reader        // nil: crypto/rand.Reader
}

// DB is an open state file. Its methods may be called concurrently.
type DB struct {
	Sessions    Sessions
	Codes       Codes
	Idempotency Idempotency

	now     func() time.Time
	rand    io.Reader
	owner   *owner
	writing chan struct{} // holds one element while a change is made
	synced  *sql.DB       // a change is on the disk when it is reported
	lazy    *sql.DB       // a change survives the process, but maybe not a power cut
	reading *sql.DB
}

// Open opens the state file, creates it if it does not exist, and brings its
// schema up to date.
func Open(ctx context.Context, c Config) (*DB, error) {
	db, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("opening state file %q: %w", c.Path, err)
	}
	return db, nil
}

func open(ctx context.Context, c Config) (*DB, error) {
	if c.Path == "" {
		return nil, fmt.Errorf("%w: no path", ErrInvalid)
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, err
	}
	db := &DB{now: c.Now, rand: c.Rand, writing: make(chan struct{}, 1)}
	if db.now == nil {
		db.now = time.Now
	}
	if db.rand == nil {
		db.rand = rand.Reader
	}
	db.Sessions = Sessions{db, c.SessionIdle, c.SessionMax}
	db.Codes = Codes{db}
	db.Idempotency = Idempotency{db}
	// SQLite's locks belong to the process and end with any descriptor of the file
	// that it closes: the file itself must never be opened by other means. SQLite
	// creates it with the mode of the lock file.
	if db.owner, err = newOwner(path+".lock", db.rand); err != nil {
		return nil, err
	}
	if err := checkPrivate(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, db.Close())
	}
	if err := db.connect(ctx, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// connect opens the connections. The schema is checked on the first before the
// others are used.
func (db *DB) connect(ctx context.Context, path string) (err error) {
	if db.synced, err = connections(path, "FULL", false, 1); err != nil {
		return err
	}
	if err := migrateWhenFree(ctx, db.synced); err != nil {
		return err
	}
	if db.lazy, err = connections(path, "NORMAL", false, 1); err != nil {
		return err
	}
	db.reading, err = connections(path, "NORMAL", true, maxReaders)
	return err
}

// connections returns a pool of connections to the file. In WAL mode a change
// with synchronous FULL is on the disk when it returns; one with NORMAL is there
// with the next FULL one or the next checkpoint.
func connections(path, synchronous string, readOnly bool, limit int) (*sql.DB, error) {
	query := url.Values{
		"modeof":        {path + ".lock"},
		"_busy_timeout": {strconv.FormatInt(busyTimeout.Milliseconds(), 10)},
		"_synchronous":  {synchronous},
		"_query_only":   {strconv.FormatBool(readOnly)},
		"_txlock":       {"immediate"},
		"_defensive":    {"true"},
		"_dqs":          {"false"},
		"_error_rc":     {"true"},
		"_pragma":       {"trusted_schema(false)", fmt.Sprintf("journal_size_limit(%d)", keptWAL)},
	}
	// SQLite does not read "+" as a space.
	name := url.URL{Scheme: "file", Path: path, RawQuery: strings.ReplaceAll(query.Encode(), "+", "%20")}
	connector, err := sqlite.NewConnector(name.String())
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(limit)
	pool.SetMaxIdleConns(limit)
	return pool, nil
}

// checkPrivate returns why a file must not be used: it is not a regular file, or
// other users may access it. It follows no symbolic link: processes that know the
// file by two names would have two lock files.
func checkPrivate(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: not a regular file", ErrWrongFile)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%w: %s has mode %#o", ErrNotPrivate, path, info.Mode().Perm())
	}
	return nil
}

// Close waits for the calls in progress and closes the file. Attempts that have
// not ended may then be taken over by other processes.
func (db *DB) Close() error {
	var errs []error
	for _, pool := range []*sql.DB{db.reading, db.lazy, db.synced} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(append(errs, db.owner.Close())...)
}

// durability is what a change must survive.
type durability bool

const (
	processExit durability = false // kill -9 of the process
	powerCut    durability = true
)

// write makes a change in one transaction. The transaction has the write lock
// from its beginning, so that what it reads stays true until it ends.
func (db *DB) write(ctx context.Context, survives durability, change func(*sql.Tx) error) error {
	select {
	case db.writing <- struct{}{}:
		defer func() { <-db.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	pool := db.lazy
	if survives == powerCut {
		pool = db.synced
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		_ = tx.Rollback() // err says more
		return err
	}
	return tx.Commit()
}

// changeOne makes a change that is one statement, and returns the number of rows
// that it changed. entry is the number of its entry in the audit log, zero for none.
func (db *DB) changeOne(ctx context.Context, survives durability, entry int64, statement string, args ...any) (n int, err error) {
	err = db.write(ctx, survives, func(tx *sql.Tx) error {
		if n, err = rowsChanged(tx.ExecContext(ctx, statement, args...)); err != nil || n == 0 {
			return err
		}
		return keepEntry(ctx, tx, entry)
	})
	return n, err
}

// queryer is a transaction, or a pool of connections.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func rowsChanged(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
