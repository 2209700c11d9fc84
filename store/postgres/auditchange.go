package postgres

import (
	"context"
	"errors"
	"fmt"

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

// An entry that is open for longer than a writer may take is one of a writer that died.
const selectAbandoned = `SELECT seq, line FROM audit WHERE open_since < clock_timestamp() - interval '2 minutes' ORDER BY seq`

// closeAbandoned closes the entries of writers that died before they could.
func (l *AuditLog) closeAbandoned(w *writer) error {
	found, err := w.tx.Query(w.ctx, selectAbandoned)
	if err != nil {
		return w.fail(err)
	}
	rows, err := pgx.CollectRows(found, func(r pgx.CollectableRow) (row entryRow, err error) {
		err = r.Scan(&row.seq, &row.line)
		return row, err
	})
	if err != nil {
		return w.fail(err)
	}
	for _, row := range rows {
		e, err := audit.Decode([]byte(row.line))
		if err != nil {
			return fmt.Errorf("entry %d of the audit log: %w", row.seq, err)
		}
		l.mu.Lock()
		target := l.targets[e.Action.Kind()]
		l.mu.Unlock()
		if target == nil {
			continue // another process knows
		}
		made, err := target.Made(e.Seq)
		if err != nil {
			return err
		}
		if err := w.closeEntry(&e, made); err != nil {
			return err
		}
	}
	return nil
}

var _ store.AuditLog = (*AuditLog)(nil)
