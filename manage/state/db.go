package state

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"keyward/store/postgres/database"
)

// changeTimeout bounds how long a change waits for others of the same process; the
// context may end the wait earlier.
const changeTimeout = 10 * time.Second

var errBusy = errors.New("other changes take too long")

// DB is the state, in a file or in Postgres. Its methods may be called concurrently.
type DB struct {
	Sessions Sessions // of the console
	// IssuerSessions are those of the issuer's login page: a cookie of one is none of the
	// other.
	IssuerSessions Sessions
	Codes          Codes
	Idempotency    Idempotency
	Grants         Grants
	Consents       Consents

	now     func() time.Time
	rand    io.Reader
	writing chan struct{} // holds one element while a change is made
	waiting chan *together
	settle  time.Duration // how long it is asked whether a change was made
	storage storage

	unreleased unreleased
}

func newDB(idle, longest time.Duration, now func() time.Time, random io.Reader) *DB {
	db := &DB{now: now, rand: random, writing: make(chan struct{}, 1), waiting: make(chan *together, maxTogether), settle: settleTimeout}
	if db.now == nil {
		db.now = time.Now
	}
	if db.rand == nil {
		db.rand = rand.Reader
	}
	db.Sessions = Sessions{db, "state_session", idle, longest}
	db.IssuerSessions = Sessions{db, "state_issuer_session", idle, longest}
	db.Codes = Codes{db}
	db.Idempotency = Idempotency{db}
	db.Grants, db.Consents = Grants{db}, Consents{db}
	return db
}

// Close waits for the calls in progress and closes the connections.
func (db *DB) Close() error { return db.storage.close() }

// write makes a change in one transaction, beside which there is no other. Its error is
// database.ErrUncertain if the database did not answer whether the change was made.
func (db *DB) write(ctx context.Context, survives durability, change func(*transaction) error) error {
	select {
	case db.writing <- struct{}{}:
		defer func() { <-db.writing }()
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(changeTimeout):
		return errBusy
	}
	tx, err := db.storage.begin(ctx, survives)
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		tx.rollback()
		return err
	}
	return tx.commit()
}

// changeOne makes a change that is one statement, and returns the number of rows
// that it changed. entry is the number of its entry in the audit log, zero for none.
func (db *DB) changeOne(ctx context.Context, survives durability, entry int64, statement string, args ...any) (n int, err error) {
	err = db.write(ctx, survives, func(tx *transaction) error {
		if n, err = tx.exec(statement, args...); err != nil || n == 0 {
			return err
		}
		return keepEntry(tx, entry)
	})
	if entry != 0 && errors.Is(err, database.ErrUncertain) {
		err = db.lookUp(ctx, entry, err)
	}
	return n, err
}
