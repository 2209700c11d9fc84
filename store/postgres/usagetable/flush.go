package usagetable

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"keyward/store/postgres/database"
	"keyward/usage"

	"github.com/jackc/pgx/v5"
)

// How long a transaction may take at most, and how long the database waits for each
// statement of one and for the next one. Together they are far below overlap.
const (
	writeTimeout     = 10 * time.Second
	statementTimeout = "5s"
)

var errNoReplica = errors.New("usage is flushed under the name of a replica, and this one has none")

// Flush implements [usage.Store]. Each batch is a transaction.
func (t *Table) Flush(from usage.Source) error {
	if t.replica == "" {
		return errNoReplica
	}
	return from.Drain(t.write)
}

// write adds a batch to this replica's rows. After an error they may have it: the next
// call is about the same batch then, and adds it unless they do.
func (t *Table) write(batch []byte) error {
	if t.batch == "" {
		t.batch = rand.Text()
	}
	err := t.change(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
		isNew, err := t.begin(ctx, tx)
		if err != nil || !isNew {
			return err
		}
		return t.add(ctx, tx, batch)
	})
	if err == nil {
		t.batch = ""
	}
	return err
}

// change calls do with a transaction that is bounded, and need not survive a crash of the
// database.
func (t *Table) change(ctx context.Context, do func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := pgx.BeginFunc(ctx, t.db.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT set_config('synchronous_commit', 'off', true), set_config('statement_timeout', $1::text, true),
			set_config('idle_in_transaction_session_timeout', $1::text, true)`, statementTimeout)
		if err != nil {
			return err
		}
		return do(ctx, tx)
	})
	return database.Failed(ctx, err)
}

// begin locks this replica's rows, and reports whether the batch is not in them yet. It
// waits for an earlier transaction with the same batch whose outcome is not known.
func (t *Table) begin(ctx context.Context, tx pgx.Tx) (isNew bool, err error) {
	written, err := tx.Exec(ctx, `INSERT INTO usage_batch (replica, batch) VALUES ($1::text, $2::text)
		ON CONFLICT (login, replica) DO UPDATE SET batch = excluded.batch WHERE usage_batch.batch <> excluded.batch`,
		t.replica, t.batch)
	return written.RowsAffected() == 1, err
}

// add replaces the rows of the batch's keys by their sums with it.
func (t *Table) add(ctx context.Context, tx pgx.Tx, batch []byte) error {
	var sums usage.Sums
	addLines(&sums, batch)
	ids := slices.DeleteFunc(slices.Clone(sums.Keys()), func(id string) bool { return !isKeyID(id) })
	found, err := tx.Query(ctx, `SELECT key_id, login, replica, totals, days FROM usage
		WHERE key_id = ANY($1::text[]) AND login = session_user AND replica = $2::text FOR UPDATE`, ids, t.replica)
	if err != nil {
		return err
	}
	rows, err := readRows(found)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].addTo(&sums)
	}
	var changed columns
	for id, lines := range sums.All() {
		if isKeyID(id) {
			changed.add(row{id: id, lines: lines})
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO usage (key_id, replica, totals, days, last)
		SELECT key_id, $1::text, totals, days, last FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) AS u (key_id, totals, days, last)
		ON CONFLICT (key_id, login, replica) DO UPDATE SET totals = excluded.totals, days = excluded.days, last = excluded.last`,
		t.replica, changed.ids, changed.totals, changed.days, changed.last)
	return err
}
