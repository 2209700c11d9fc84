package postgres

import (
	"context"
	"fmt"
	"time"

	"keyward/store"
	"keyward/store/postgres/database"

	"github.com/jackc/pgx/v5"
)

// How long the answer of a commit is waited for, and after it for the answer to the
// question whether the commit was made. No caller that gives up shortens it.
const (
	commitTimeout = 10 * time.Second
	settleTimeout = 30 * time.Second
)

// rolledBackError is a commit that was not answered, of a transaction of which the
// database has nothing: it may be repeated.
type rolledBackError struct{ cause error }

func (e *rolledBackError) Error() string {
	return fmt.Sprintf("%v: the change was not made: %v", database.ErrUnavailable, e.cause)
}

func (e *rolledBackError) Unwrap() []error { return []error{database.ErrUnavailable, e.cause} }

// conclude stores the last number, if no row has it, and notifies the replicas with the
// commit. Any login can fill the queue of notifications, and a commit that notifies fails
// once it is full: replicas find the change by polling then.
func (w *writer) conclude() error {
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE meta SET last_seq = $1::bigint WHERE last_seq < $1::bigint`, w.last)
	batch.Queue(`SELECT pg_notify('keyward_journal', $1::text) WHERE pg_notification_queue_usage() < 0.5`, fmt.Sprint(w.last))
	return w.send(batch)
}

// commit stores the last number, notifies the replicas and commits.
func (w *writer) commit() error {
	if err := w.conclude(); err != nil {
		return err
	}
	if err := w.ctx.Err(); err != nil {
		return w.fail(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), commitTimeout)
	defer cancel()
	unanswered := w.tx.Commit(ctx)
	if unanswered == nil {
		return nil
	}
	made, err := w.store.wasMade(ctx, w.last, w.id)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", store.ErrUncertain, err)
	case made:
		return nil
	default:
		return &rolledBackError{unanswered}
	}
}

// wasMade reports whether the change was committed whose commit was not answered, by its
// last number and its id. It asks until the database answers.
func (s *Store) wasMade(ctx context.Context, seq int64, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.settle)
	defer cancel()
	for {
		made, err := s.lookUp(ctx, seq, id)
		if err == nil || !pause(ctx) {
			return made, err
		}
	}
}

// lookUp looks for the change. It takes the lock of the writers first: as long as the
// transaction of the change is open, that has it. And it writes: if the database waits
// for a standby, this commit is answered after the standby has the change, too.
func (s *Store) lookUp(ctx context.Context, seq int64, id string) (made bool, err error) {
	err = pgx.BeginFunc(ctx, s.db.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM meta FOR UPDATE`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE meta SET last_seq = last_seq`); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM audit WHERE seq = $1::bigint AND change_id = $2::uuid)`, seq, id).Scan(&made)
	})
	return made, err
}
