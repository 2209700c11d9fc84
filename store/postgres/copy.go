package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/postgres/database"
)

// ErrNotEmpty is a database that cannot be filled, since it has something or had it.
var ErrNotEmpty = errors.New("the database is not empty")

// copyIdleTimeout is idleTimeout for a transaction that fills a database, or dumps it:
// files are read and written in between.
const copyIdleTimeout = "15min"

// Lines calls visit for each line of a file, in their order and without its newline. An
// error of visit ends it. The line is valid until visit returns.
type Lines func(visit func(line []byte) error) error

// Filling is the transaction that fills an empty database with the lines of files.
type Filling struct {
	w    *writer
	head *head
}

// head is the line of the latest change: all that is in the database and not in the
// journal counts as cut from it.
type head struct {
	kind string
	seq  int64
	line string
}

// Fill fills an empty database with what do gives it, in which that hasher hashes secrets:
// all of it or, if Fill returns an error that is not store.ErrUncertain, nothing. No
// writer has its turn meanwhile. Records and entries keep their numbers, and those of
// later changes go on from them.
func (s *Store) Fill(ctx context.Context, hasher *apikey.Hasher, do func(*Filling) error) error {
	return s.alone(ctx, hasher, func(w *writer) error {
		f := &Filling{w: w}
		if err := f.refuseContent(); err != nil {
			return err
		}
		if err := do(f); err != nil {
			return err
		}
		return f.commit()
	})
}

// alone calls do within a transaction of a writer that may take long. do commits it.
func (s *Store) alone(ctx context.Context, hasher *apikey.Hasher, do func(*writer) error) error {
	tx, err := s.db.Pool.Begin(ctx)
	if err != nil {
		return database.Failed(ctx, err)
	}
	w := &writer{store: s, ctx: ctx, tx: tx, id: newChangeID()}
	defer w.rollback()
	if w.begin(copyIdleTimeout); w.failed != nil {
		return w.failed
	}
	if err := w.meta.Check(hasher); err != nil {
		return err
	}
	return do(w)
}

// refuseContent returns ErrNotEmpty if anything was ever written to the database.
func (f *Filling) refuseContent() error {
	var found []string
	for _, table := range []string{"key_record", "key_secret", "user_record", "project", "client", "revocation", "audit", "journal", "usage"} {
		var some bool
		if err := f.w.tx.QueryRow(f.w.ctx, "SELECT EXISTS (SELECT FROM "+table+")").Scan(&some); err != nil {
			return f.w.fail(err)
		}
		if some {
			found = append(found, table)
		}
	}
	switch {
	case len(found) > 0:
		return fmt.Errorf("%w: the table %s has rows", ErrNotEmpty, strings.Join(found, " and the table "))
	case f.w.meta.LastSeq > 0:
		return fmt.Errorf("%w: it had %d changes", ErrNotEmpty, f.w.meta.LastSeq)
	}
	return nil
}

// Reserve has numbers go on behind last at least.
func (f *Filling) Reserve(last int64) { f.w.last = max(f.w.last, last) }

// commit gives the journal its head. A replica that began with the empty database, or
// with nothing, needs a snapshot: lines up to the head are cut.
func (f *Filling) commit() error {
	if h := f.head; h != nil {
		if h.seq == 0 { // no change was numbered
			f.w.last++
			h.seq = f.w.last
		}
		batch := &pgx.Batch{}
		batch.Queue(`INSERT INTO journal (seq, epoch, kind, line) VALUES ($1::bigint, $2::uuid, $3::text, $4::text)`, h.seq, f.w.meta.Epoch, h.kind, h.line)
		batch.Queue(`UPDATE meta SET cut_seq = $1::bigint`, h.seq)
		if err := f.w.send(batch); err != nil {
			return err
		}
	}
	if err := f.w.conclude(); err != nil {
		return err
	}
	if err := f.w.ctx.Err(); err != nil {
		return f.w.fail(err)
	}
	// No answer says nothing of the commit. Filling the database again does.
	if err := f.w.tx.Commit(f.w.ctx); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUncertain, err)
	}
	return nil
}

// follow reserves the number of a change, and keeps the line of the latest one.
func (f *Filling) follow(kind string, seq int64, line string) {
	f.Reserve(seq)
	if f.head == nil || seq > f.head.seq {
		f.head = &head{kind, seq, line}
	}
}

// copiedAtOnce bounds the rows that are in memory.
const copiedAtOnce = 5000

// copy writes rows to a table.
func (f *Filling) copy(table string, columns []string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	f.w.wrote = true
	_, err := f.w.tx.CopyFrom(f.w.ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows))
	return f.w.fail(err)
}

// orFailed returns the error of the database, if it was that which ended the reading of
// lines: it is not about a line.
func (f *Filling) orFailed(err error) error {
	if f.w.failed != nil {
		return f.w.failed
	}
	return err
}

// Dump is one consistent view of all that a database has.
type Dump struct{ w *writer }

// Dump calls do with what the database has, in which that hasher hashes secrets. No
// writer has its turn meanwhile.
func (s *Store) Dump(ctx context.Context, hasher *apikey.Hasher, do func(*Dump) error) error {
	return s.alone(ctx, hasher, func(w *writer) error { return do(&Dump{w}) })
}

// LastSeq is the number of what was changed last.
func (d *Dump) LastSeq() int64 { return d.w.meta.LastSeq }

// dumped are the statements that read the lines of a kind. Lines are in the order of
// their numbers. That of revocations without one is the order in which they were added.
var dumped = map[string]string{
	"key":        `SELECT line FROM key_record ORDER BY seq, id`,
	"user":       `SELECT line FROM user_record ORDER BY seq, id`,
	"project":    `SELECT line FROM project ORDER BY seq, id`,
	"client":     `SELECT line FROM client ORDER BY seq, id`,
	"revocation": `SELECT line FROM revocation ORDER BY number`,
}

// Records calls visit for the line of each record of the kind, deleted ones too.
func (d *Dump) Records(kind string, visit func(line []byte) error) error {
	sql, known := dumped[kind]
	if !known {
		return fmt.Errorf("no records of the kind %q", kind)
	}
	return d.each(sql, visit)
}

// Entries calls visit for the line of each entry of the audit log, in the order of their
// numbers. That of a change which is under way is as if the change were made.
func (d *Dump) Entries(visit func(line []byte) error) error {
	return d.each(`SELECT line FROM audit ORDER BY seq`, visit)
}

func (d *Dump) each(sql string, visit func(line []byte) error) error {
	rows, err := d.w.tx.Query(d.w.ctx, sql)
	if err != nil {
		return d.w.fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows.RawValues()[0]); err != nil {
			return err
		}
	}
	return d.w.fail(rows.Err())
}
