package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres/database"
)

// editor changes the records of one kind. It implements store.Editor.
type editor[R any] struct {
	query[R]
	store *Store
	// prepare completes the records that are to be written, or returns why they must not
	// be; nil: there is nothing to do.
	prepare func(*recordTx[R]) error
	// also writes what follows from the records; nil: nothing.
	also func(*pgx.Batch, []*written[R])
}

// Edit implements store.Editor.
func (e *editor[R]) Edit(ctx context.Context, edit func(store.Tx[R]) error) error {
	return e.store.write(ctx, func(w *writer) error {
		t := &recordTx[R]{editor: e, writer: w}
		if err := edit(t); err != nil || len(t.puts) == 0 {
			return err
		}
		if e.prepare != nil {
			if err := e.prepare(t); err != nil {
				return err
			}
		}
		return t.write()
	})
}

// recordTx is the transaction of one edit. It implements store.Tx.
type recordTx[R any] struct {
	editor  *editor[R]
	writer  *writer
	puts    []*R
	entries []*audit.Entry
}

// Get implements store.Tx.
func (t *recordTx[R]) Get(id string) (R, error) {
	r, err := t.editor.current(t.writer.ctx, t.writer.tx, id)
	if database.IsOwn(err) {
		_ = t.writer.fail(err)
	}
	return r, err
}

// Each implements store.Tx. visit may use t.
func (t *recordTx[R]) Each(visit func(*R) error) error {
	everything := query[R]{kind: t.editor.kind}
	var after *store.Position
	for {
		rows, err := everything.rows(t.writer.ctx, t.writer.tx, after, false, rowsAtOnce)
		if err != nil {
			return t.writer.fail(err)
		}
		for i := range rows {
			r, err := t.editor.record(rows[i].line)
			if err == nil {
				err = visit(&r)
			}
			if err != nil {
				return err
			}
		}
		if len(rows) < rowsAtOnce {
			return nil
		}
		after = &rows[len(rows)-1].at
	}
}

// Put implements store.Tx.
func (t *recordTx[R]) Put(r *R, e *audit.Entry) {
	t.puts, t.entries = append(t.puts, r), append(t.entries, e)
}

// lines returns the records of a statement that selects lines.
func (t *recordTx[R]) lines(sql string, args ...any) ([]R, error) {
	all, err := t.editor.lines(t.writer.ctx, t.writer.tx, sql, args...)
	if database.IsOwn(err) {
		_ = t.writer.fail(err)
	}
	return all, err
}

// eachHolder calls visit for each of the secrets with each key that has or had it.
func (t *recordTx[R]) eachHolder(digests [][]byte, visit func(apikey.Digest, *R)) error {
	rows, err := t.writer.tx.Query(t.writer.ctx, `SELECT s.digest, r.line FROM key_secret s JOIN key_record r ON r.id = s.key_id WHERE s.digest = ANY($1::bytea[])`, digests)
	if err != nil {
		return t.writer.fail(err)
	}
	var digest []byte
	var line string
	_, err = pgx.ForEachRow(rows, []any{&digest, &line}, func() error {
		r, err := t.editor.record(line)
		if err == nil {
			visit(apikey.Digest(digest), &r)
		}
		return err
	})
	return t.writer.fail(err)
}

// writtenAtOnce bounds the records of one statement.
const writtenAtOnce = 1000

// write numbers the entries and writes the records, their lines and the entries.
func (t *recordTx[R]) write() error {
	rows := make([]*written[R], 0, len(t.puts))
	for i, r := range t.puts {
		t.writer.number(t.entries[i])
		seq := t.entries[i].Seq
		line, err := t.editor.line(r, seq)
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
		rows = append(rows, &written[R]{r, seq, withoutNewline(line)})
	}
	for len(rows) > 0 {
		n := min(writtenAtOnce, len(rows))
		if err := t.writeSome(rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return t.writer.addEntries(t.entries, false)
}

// writeSome writes records and their lines.
func (t *recordTx[R]) writeSome(rows []*written[R]) error {
	seqs, lines := make([]int64, 0, len(rows)), make([]string, 0, len(rows))
	for _, row := range rows {
		seqs, lines = append(seqs, row.seq), append(lines, row.line)
	}
	batch := &pgx.Batch{}
	sql, args := t.editor.upsert(rows)
	batch.Queue(sql, args...)
	batch.Queue(`INSERT INTO journal (seq, epoch, kind, line) SELECT seq, $3::uuid, $4::text, line FROM unnest($1::bigint[], $2::text[]) AS t (seq, line)`,
		seqs, lines, t.writer.meta.Epoch, t.editor.name)
	if t.editor.also != nil {
		t.editor.also(batch, rows)
	}
	return t.writer.send(batch)
}
