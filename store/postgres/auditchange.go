package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"keyward/store"
	"keyward/store/audit"
)

// ChangeStore is where changes are kept that have an entry in the log and are not
// changes of records.
type ChangeStore interface {
	// Made reports whether the change was made that has the number of its entry.
	Made(seq int64) (bool, error)
}

// Watch says where the changes are kept of what the actions of that kind are about; see
// [audit.Action.Kind].
func (l *AuditLog) Watch(kind string, changes ChangeStore) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.targets == nil {
		l.targets = map[string]ChangeStore{}
	}
	l.targets[kind] = changes
}

var errClosed = errors.New("another process has closed the entry as not done")

// Change implements store.AuditLog. The entry is committed first and is open; then the
// change is made under the lock of the writers, and the entry is closed.
func (l *AuditLog) Change(ctx context.Context, e *audit.Entry, change func(seq int64) error) error {
	err := l.write(ctx, func(w *writer) error { return w.appendEntries([]*audit.Entry{e}, true) })
	if err != nil {
		return l.changeWithoutLog(ctx, e, change, err)
	}
	called := false
	var result error
	err = l.store.write(ctx, func(w *writer) error {
		if !called {
			if err := w.checkOpen(e.Seq); err != nil {
				return err
			}
			called = true
			result = change(e.Seq)
		}
		if errors.Is(result, store.ErrUncertain) {
			return nil // the entry stays open: the log must not deny what may be done
		}
		return w.closeEntry(e, result == nil)
	})
	switch {
	case called:
		return result // the entry stays open if it could not be closed, and is closed later
	case e.Action.Ends() && !errors.Is(err, errClosed) && ctx.Err() == nil:
		return change(e.Seq)
	default:
		return auditError(ctx, err)
	}
}

// changeWithoutLog makes a change whose entry could not be written, if it only ends
// something and the entry can be written later.
func (l *AuditLog) changeWithoutLog(ctx context.Context, e *audit.Entry, change func(seq int64) error, why error) error {
	late := *e
	late.Seq, late.Behind, late.Time = 1, true, l.store.now().UTC()
	_, unwritable := late.Line()
	if ctx.Err() != nil || unwritable != nil || !e.Action.Ends() || e.Outcome != audit.Done {
		return auditError(ctx, why)
	}
	if err := change(0); err != nil {
		return err
	}
	e.Seq, e.Behind = 0, true
	l.mu.Lock()
	defer l.mu.Unlock()
	l.behind, l.why = append(l.behind, &late), why
	return nil
}

// checkOpen returns errClosed unless it is not known yet of the entry whether its change
// was made.
func (w *writer) checkOpen(seq int64) error {
	var open bool
	err := w.tx.QueryRow(w.ctx, `SELECT EXISTS (SELECT FROM audit WHERE seq = $1::bigint AND open_since IS NOT NULL)`, seq).Scan(&open)
	if err == nil && !open {
		return errClosed
	}
	return w.fail(err)
}

// What is open is read in pages, of which each write has one: a login that was taken over
// may have left any number of entries, and must not hold up others. An entry that is open
// for longer than a writer may take is one of a writer that died.
const abandonedAtOnce = 100

var selectOpen = `SELECT ` + entryRowColumns + `, open_since < clock_timestamp() - interval '2 minutes' FROM audit
	WHERE open_since IS NOT NULL AND seq > $1::bigint ORDER BY seq LIMIT $2::bigint`

// closeAbandoned closes the entries of writers that died before they could.
func (l *AuditLog) closeAbandoned(w *writer) error {
	l.mu.Lock()
	after, knows := l.openAfter, len(l.targets) > 0
	l.mu.Unlock()
	if !knows {
		return nil // another process does
	}
	found, err := w.tx.Query(w.ctx, selectOpen, after, int64(abandonedAtOnce))
	if err != nil {
		return w.fail(err)
	}
	rows, err := pgx.CollectRows(found, func(r pgx.CollectableRow) (row openRow, err error) {
		err = r.Scan(append(row.destinations(), &row.abandoned)...)
		return row, err
	})
	if err != nil {
		return w.fail(err)
	}
	after = 0
	if len(rows) == abandonedAtOnce {
		after = rows[len(rows)-1].seq
	}
	l.mu.Lock()
	l.openAfter = after
	l.mu.Unlock()
	for i := range rows {
		if !rows[i].abandoned {
			continue
		}
		if err := l.closeRow(w, &rows[i].entryRow); err != nil {
			return err
		}
	}
	return nil
}

// openRow is the row of an open entry.
type openRow struct {
	entryRow
	abandoned bool
}

// closeRow closes the entry of a row by what became of its change. One that cannot be read
// is of no change that is known: it is closed as not done, and keeps its line.
func (l *AuditLog) closeRow(w *writer, row *entryRow) error {
	e, err := row.decode()
	if err != nil {
		return w.closeSeq(row.seq, audit.NotDone, nil)
	}
	l.mu.Lock()
	target := l.targets[e.Action.Kind()]
	l.mu.Unlock()
	if target == nil {
		return nil // another process knows
	}
	made, err := target.Made(e.Seq)
	if err != nil {
		return err
	}
	if !made {
		e.Outcome = audit.NotDone
	}
	line, err := e.Line()
	if err != nil {
		line = nil // it has what this version cannot write
	}
	return w.closeSeq(row.seq, e.Outcome, line)
}

var _ store.AuditLog = (*AuditLog)(nil)
