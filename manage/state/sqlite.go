package state

import (
	"context"
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

	"keyward/manage/state/processlock"
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

// Open opens the state file, creates it if it does not exist, and brings its
// schema up to date.
func Open(ctx context.Context, c Config) (*DB, error) {
	db := newDB(c.SessionIdle, c.SessionMax, c.Now, c.Rand)
	file, err := openFile(ctx, c.Path, db.rand)
	if err != nil {
		return nil, fmt.Errorf("opening state file %q: %w", c.Path, err)
	}
	db.storage = file
	return db, nil
}

// stateFile is the SQLite file in which the state of one machine is.
type stateFile struct {
	owner   *processlock.Lock
	synced  *sql.DB // a change is on the disk when it is reported
	lazy    *sql.DB // a change survives the process, but maybe not a power cut
	reading *sql.DB
}

func openFile(ctx context.Context, path string, rand io.Reader) (*stateFile, error) {
	if path == "" {
		return nil, fmt.Errorf("%w: no path", ErrInvalid)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f := &stateFile{}
	// SQLite's locks belong to the process and end with any descriptor of the file
	// that it closes: the file itself must never be opened by other means. SQLite
	// creates it with the mode of the lock file.
	number, err := randomNumber(rand)
	if err != nil {
		return nil, err
	}
	if f.owner, err = processlock.Open(path+".lock", number, checkPrivate); err != nil {
		return nil, err
	}
	if err := checkPrivate(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, f.close())
	}
	if err := f.connect(ctx, path); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// connect opens the connections. The schema is checked on the first before the
// others are used.
func (f *stateFile) connect(ctx context.Context, path string) (err error) {
	if f.synced, err = connections(path, "FULL", false, 1); err != nil {
		return err
	}
	if err := migrateWhenFree(ctx, f.synced); err != nil {
		return err
	}
	if f.lazy, err = connections(path, "NORMAL", false, 1); err != nil {
		return err
	}
	f.reading, err = connections(path, "NORMAL", true, maxReaders)
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

// close closes the file. Attempts that have not ended may then be taken over by other
// processes.
func (f *stateFile) close() error {
	var errs []error
	for _, pool := range []*sql.DB{f.reading, f.lazy, f.synced} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(append(errs, f.owner.Close())...)
}

// sqliteDialect: nothing else is in the file, so its tables have the short names. Changes
// are made one after the other, and an entry whose change may be missing is closed before
// the next, so the last number is enough.
var sqliteDialect = dialect{
	translate: func(statement string, args []any) (string, []any) {
		return strings.ReplaceAll(statement, "state_", ""), args
	},
	keepEntry: `INSERT INTO state_entry (one, seq) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET seq = excluded.seq`,
}

func (f *stateFile) dialect() *dialect { return &sqliteDialect }

func (f *stateFile) reader(ctx context.Context) (queries, context.CancelFunc) {
	return queries{ctx, f.reading, &sqliteDialect}, func() {}
}

// begin takes SQLite's write lock.
func (f *stateFile) begin(ctx context.Context, survives durability) (*transaction, error) {
	pool := f.lazy
	if survives == powerCut {
		pool = f.synced
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	commit := func() error {
		err := tx.Commit()
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
			return ctx.Err() // which has ended the transaction
		}
		return err
	}
	return &transaction{
		queries: queries{ctx, tx, &sqliteDialect},
		commit:  commit, rollback: func() { _ = tx.Rollback() }, // what failed before says more
		owner: f.owner.Number, ended: f.owner.Ended,
	}, nil
}
