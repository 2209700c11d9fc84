package state

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"keyward/store/postgres/database"
)

const (
	// transactionTimeout bounds a transaction: how long it waits for those of other
	// machines, its statements, and its commit.
	transactionTimeout = 15 * time.Second
	// readTimeout bounds how long the answer to a question is waited for.
	readTimeout = 5 * time.Second
	// idleTimeout is how long the database waits for the next statement of a
	// transaction, whose program may have been stopped, before it ends it: all other
	// changes wait as long.
	idleTimeout = "5s"
	// attemptLease is how long after its beginning, by the database's clock, an attempt
	// is not taken over.
	attemptLease = time.Minute
)

// SharedConfig describes the state in a database and the sessions in it.
type SharedConfig struct {
	Database *database.DB
	// SessionIdle and SessionMax bound a session from its last use and from its
	// login. With zero no session is valid.
	SessionIdle, SessionMax time.Duration
	Now                     func() time.Time // nil: time.Now
	Rand                    io.Reader        // nil: crypto/rand.Reader
}

// OpenShared returns the state in a database of several machines. It opens no
// connection: a program starts without its database, and until that answers, so do
// calls with an error.
func OpenShared(c SharedConfig) *DB {
	db := newDB(c.SessionIdle, c.SessionMax, c.Now, c.Rand)
	db.storage = &postgres{c.Database.SQL(1), c.Database.SQL(maxReaders)}
	return db
}

// postgres is the state in the database that several machines share.
//
// An attempt has no owner that could be seen to end. It has a lease: others take it over
// when it was released, or attemptLease after it began. An attempt that outlives its
// lease, in a program that was stopped or cut off, may therefore be carried out beside
// its successor. That the change is made once all the same is not ensured here but where
// changes are made: both have the RecordID, under which only one transaction writes the
// audit entries of an operation. The end of the earlier attempt changes nothing here.
type postgres struct {
	writing *sql.DB
	reading *sql.DB
}

// close returns no error: those of connections that were lost mean nothing.
func (p *postgres) close() error {
	_, _ = p.reading.Close(), p.writing.Close()
	return nil
}

// postgresDialect: the owner of an attempt is the time at which it began.
//
// Other machines make changes before the entry of one that died is closed, so the numbers
// of all changes are kept, each until its entry is closed.
var postgresDialect = dialect{
	translate: func(statement string, args []any) (string, []any) {
		return postgresWords.Replace(statement), storable(args)
	},
	keepEntry: `INSERT INTO state_entry (seq) VALUES (?1) ON CONFLICT (seq) DO NOTHING`,
	dropEntries: `DELETE FROM state_entry WHERE seq IN (SELECT seq FROM state_entry AS made
		WHERE NOT EXISTS (SELECT FROM audit WHERE audit.seq = made.seq AND open_since IS NOT NULL) LIMIT ?1)`,
}

var postgresWords = strings.NewReplacer("?", "$", "owner", "started")

// storable returns NULL in place of each text that Postgres cannot store, with which it
// would refuse the statement. NULL equals nothing, so that a client that asks for such a
// text receives that it does not exist, and no table accepts it.
func storable(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok && (strings.ContainsRune(text, 0) || !utf8.ValidString(text)) {
			args[i] = nil
		}
	}
	return args
}

func (p *postgres) dialect() *dialect { return &postgresDialect }

func (p *postgres) reader(ctx context.Context) (queries, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	return queries{ctx, p.reading, &postgresDialect}, cancel
}

// takeStateLock takes the lock that a transaction of the state has from its beginning until
// it ends, and reads the time then. Each statement sees what was committed before it (READ
// COMMITTED), so those behind the lock see all earlier transactions.
const takeStateLock = `WITH lock AS MATERIALIZED (SELECT FROM state_lock FOR UPDATE)
	SELECT set_config('idle_in_transaction_session_timeout', $1::text, true),
		set_config('synchronous_commit', CASE WHEN $2::boolean THEN current_setting('synchronous_commit') ELSE 'off' END, true),
		(extract(epoch FROM clock_timestamp()) * 1000)::bigint
	FROM lock`

// begin begins a transaction and waits for the lock. If the caller gives up, so does the
// transaction, until its commit.
func (p *postgres) begin(ctx context.Context, survives durability) (*transaction, error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), transactionTimeout)
	detach := context.AfterFunc(caller, cancel)
	end := func() { detach(); cancel() }
	tx, err := p.writing.BeginTx(ctx, nil)
	if err != nil {
		end()
		return nil, unavailable(caller, err)
	}
	rollback := func() { _ = tx.Rollback(); end() } // what failed before says more
	var now int64
	var idle, commits string
	err = tx.QueryRowContext(ctx, takeStateLock, idleTimeout, bool(survives)).Scan(&idle, &commits, &now)
	if err != nil {
		rollback()
		return nil, unavailable(caller, err)
	}
	commit := func() error {
		if !detach() {
			rollback()
			return caller.Err()
		}
		defer cancel()
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("%w: %w", database.ErrUncertain, err)
		}
		return nil
	}
	return &transaction{
		queries: queries{ctx, tx, &postgresDialect}, commit: commit, rollback: rollback,
		owner: now,
		// An attempt that was released began at 0, which is long ago.
		ended: func(started int64) bool { return now-started >= attemptLease.Milliseconds() },
	}, nil
}

// unavailable returns the error of the database, or that of a caller that has given up.
func unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return database.Failed(ctx, err)
}
