package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/store/audit"
	"keyward/store/postgres/database"
)

// How long a writer's transaction may take at most, and how long the database waits for
// the next statement of one, whose program may have been stopped, before it ends it. The
// second is below settleTimeout, so that an unanswered commit can be looked up.
const (
	writeTimeout = 30 * time.Second
	idleTimeout  = "20s"
)

// What is tried again is tried that often, after about this pause.
const (
	maxAttempts = 3
	retryPause  = 100 * time.Millisecond
)

// writer is one writer's transaction.
type writer struct {
	store  *Store
	ctx    context.Context
	tx     pgx.Tx
	meta   database.Meta
	id     string // of the change, by which an unanswered commit is looked up
	last   int64  // the last number that was taken
	wrote  bool   // there is something to commit
	failed error  // the first error of the database
}

// write calls do within a transaction of a writer, and commits what it wrote. What fails before the commit, so that nothing was changed, may be tried again:
// do is called with another writer then.
func (s *Store) write(ctx context.Context, do func(*writer) error) error {
	for attempt := 1; ; attempt++ {
		err := s.tryWrite(ctx, do)
		var lost *rolledBackError
		if errors.As(err, &lost) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
		} else if err == nil || !database.IsOwn(err) || !database.MayRetry(err) || ctx.Err() != nil {
			return err
		}
		if attempt == maxAttempts || !pause(ctx) {
			return err
		}
	}
}

// pause waits before another attempt, and reports whether there may be one.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(retryPause/2 + mathrand.N(retryPause))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// tryWrite is one attempt of write.
func (s *Store) tryWrite(ctx context.Context, do func(*writer) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	// Those that wait for the lock of the writers have no connection meanwhile: what has
	// the lock may read by another one of the pool.
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return database.Failed(ctx, ctx.Err())
	}
	tx, err := s.db.Pool.Begin(ctx)
	if err != nil {
		return database.Failed(ctx, err)
	}
	w := &writer{store: s, ctx: ctx, tx: tx, id: newChangeID()}
	defer w.rollback()
	if w.begin(idleTimeout); w.failed != nil {
		return w.failed
	}
	// An edit must not go on after the database failed, whatever it makes of the error.
	if err = do(w); w.failed != nil {
		return w.failed
	}
	if err != nil || !w.wrote {
		return err
	}
	return w.commit()
}

// begin waits for the lock that each writer has from before it takes a number until its
// commit: that of the row of meta, which replicas may not take. Then it reads what the
// numbers go on from. The database ends a transaction that is idle for longer than that.
// Each statement sees what was committed before it (READ COMMITTED), so the second sees
// all earlier writers.
func (w *writer) begin(idle string) {
	w.exec(`SELECT set_config('idle_in_transaction_session_timeout', $1::text, true) FROM meta FOR UPDATE`, idle)
	if w.failed != nil {
		return
	}
	var err error
	if w.meta, err = w.store.db.Meta(w.ctx, w.tx); err == nil {
		w.meta.LastSeq, err = w.lastNumber()
	}
	w.last = w.meta.LastSeq
	_ = w.fail(err)
}

// errNumbers is a database in which a row has a number behind which there are too few.
var errNumbers = errors.New("a number that no change can have had is in meta, journal or audit: the owner of the tables must remove it")

// maxNumber bounds the last number, so that no transaction runs out of them.
const maxNumber = math.MaxInt64 / 2

const selectLastNumber = `SELECT greatest(0, last_seq, cut_seq, (SELECT max(seq) FROM journal), (SELECT max(seq) FROM audit)) FROM meta`

// lastNumber is the last number that was taken. A last_seq that was set back by a login
// that was taken over must not have a number given twice: replicas, which have passed it,
// would never see the second line.
func (w *writer) lastNumber() (last int64, err error) {
	err = w.tx.QueryRow(w.ctx, selectLastNumber).Scan(&last)
	if err == nil && last > maxNumber {
		err = fmt.Errorf("%w: %w: %d", database.ErrSchema, errNumbers, last)
	}
	return last, err
}

// fail keeps the first error of the database, and returns err as one of this package.
func (w *writer) fail(err error) error {
	err = database.Failed(w.ctx, err)
	if w.failed == nil {
		w.failed = err
	}
	return err
}

func (w *writer) exec(sql string, args ...any) {
	_, err := w.tx.Exec(w.ctx, sql, args...)
	_ = w.fail(err)
}

// send executes the statements of a batch, which write.
func (w *writer) send(batch *pgx.Batch) error {
	w.wrote = true
	return w.fail(w.tx.SendBatch(w.ctx, batch).Close())
}

// number gives the entry the next number, and the time.
func (w *writer) number(e *audit.Entry) {
	w.last++
	e.Seq, e.Time = w.last, w.store.now().UTC()
}

// rollback ends the transaction, if it was not committed. A connection whose
// transaction cannot be ended is closed.
func (w *writer) rollback() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), database.ConnectTimeout)
	defer cancel()
	if database.MayRetry(w.failed) {
		_ = w.tx.Conn().Close(ctx) // it may be to a server that is not the primary any more
	}
	_ = w.tx.Rollback(ctx)
}

// newChangeID returns a random UUID (RFC 9562, version 4).
func newChangeID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
