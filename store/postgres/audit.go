package postgres

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres/database"
)

// AuditLog is the audit log of a Store. Entries of changes of records are rows of the
// transaction of the change. It implements store.AuditLog for the others.
type AuditLog struct {
	store *Store

	mu      sync.Mutex
	targets map[string]ChangeStore // where changes are kept, by what they are of
	behind  []*audit.Entry         // of changes that were made while the database was unavailable
	why     error                  // why it was

	openAfter int64 // the number after which open entries are read next
}

// Append implements store.AuditLog.
func (l *AuditLog) Append(ctx context.Context, entries ...*audit.Entry) error {
	return l.add(ctx, entries, false)
}

// Note implements store.AuditLog.
func (l *AuditLog) Note(ctx context.Context, entries ...*audit.Entry) error {
	return l.add(ctx, entries, true)
}

func (l *AuditLog) add(ctx context.Context, entries []*audit.Entry, noSync bool) error {
	for _, e := range entries {
		if e.Outcome == audit.Done && e.Action.Changes() {
			return fmt.Errorf("%w: %w: %s is an entry of a change", store.ErrAudit, store.ErrInvalid, e.Action)
		}
	}
	return auditError(ctx, l.write(ctx, func(w *writer) error {
		if noSync {
			w.exec(`SET LOCAL synchronous_commit = off`)
		}
		return w.appendEntries(entries, false)
	}))
}

// auditError returns err as ErrAudit. That of a caller that has given up stays.
func auditError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrAudit, err)
}

// write is Store.write after what this process, or one that died, has left.
func (l *AuditLog) write(ctx context.Context, do func(*writer) error) error {
	l.mu.Lock()
	behind := l.behind
	l.mu.Unlock()
	err := l.store.write(ctx, func(w *writer) error {
		if err := l.closeAbandoned(w); err != nil {
			return err
		}
		if err := w.appendEntries(behind, false); err != nil {
			return err
		}
		return do(w)
	})
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.behind = l.behind[min(len(behind), len(l.behind)):]
	}
	return err
}

// appendEntries numbers the entries and writes them.
func (w *writer) appendEntries(entries []*audit.Entry, open bool) error {
	if w.failed != nil {
		return w.failed
	}
	for _, e := range entries {
		at := e.Time
		w.number(e)
		if e.Behind {
			e.Time = at // of the change
		}
	}
	return w.addEntries(entries, open)
}

// Unwritten returns how many entries wait until the database answers, and why it did not:
// those of changes that were made without it, since they only end something.
func (l *AuditLog) Unwritten() (entries int, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.behind), l.why
}

var selectEntries = `SELECT ` + entryRowColumns + ` FROM audit WHERE seq > 0 AND ($1::bigint = 0 OR seq %s $1::bigint)
	AND ($2::text = '' OR actor = $2::text OR actor_key = $2::text) AND ($3::text = '' OR target = $3::text)
	AND ($4::text = '' OR action = $4::text) AND ($5::text = '' OR operation = $5::text)
	AND (NOT $6::boolean OR time >= $7::timestamptz) ORDER BY seq %s LIMIT $8::bigint`

// List implements store.Lister, in the order of the entries' numbers.
func (l *AuditLog) List(ctx context.Context, filter store.AuditFilter, page store.Page) ([]audit.Entry, store.Cursor, error) {
	after, err := numberOf(page)
	if err != nil {
		return nil, "", err
	}
	limit := rowsAtOnce
	if 0 < page.Limit && page.Limit < limit {
		limit = page.Limit + 1
	}
	var found []audit.Entry
	for bytes := 0; ; limit = rowsAtOnce {
		rows, err := l.rows(ctx, &filter, after, page.NewestFirst, limit)
		if err != nil {
			return nil, "", err
		}
		for i := range rows {
			e := rows[i].entry()
			if !filter.Match(&e) {
				continue
			}
			if page.Limit > 0 && (len(found) == page.Limit || bytes >= pageBytes) {
				last := &found[len(found)-1]
				return found, store.Position{Made: last.Time, ID: strconv.FormatInt(last.Seq, 10)}.Cursor(), nil
			}
			found = append(found, e)
			bytes += len(rows[i].line)
		}
		if len(rows) < limit {
			return found, "", nil
		}
		after = rows[len(rows)-1].seq
	}
}

// numberOf returns the number of the entry with which the page before ended; 0 if this
// is the first.
func numberOf(page store.Page) (int64, error) {
	end, err := page.Start()
	if err != nil || end == nil {
		return 0, err
	}
	if seq, err := strconv.ParseInt(end.ID, 10, 64); err == nil && seq > 0 {
		return seq, nil
	}
	return 0, fmt.Errorf("%w: not a cursor of the audit log", store.ErrInvalid)
}

// rows returns the first rows behind a number, at most limit.
func (l *AuditLog) rows(ctx context.Context, f *store.AuditFilter, after int64, newestFirst bool, limit int) ([]entryRow, error) {
	compare, order := ">", "ASC"
	if newestFirst {
		compare, order = "<", "DESC"
	}
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	found, err := l.store.db.Pool.Query(ctx, fmt.Sprintf(selectEntries, compare, order), after, database.Storable(f.Actor), database.Storable(f.Record),
		database.Storable(string(f.Action)), database.Storable(f.Operation), !f.Since.IsZero(), f.Since.UTC().Truncate(time.Microsecond), int64(limit))
	if err != nil {
		return nil, database.Failed(ctx, err)
	}
	all, err := pgx.CollectRows(found, func(r pgx.CollectableRow) (row entryRow, err error) {
		err = r.Scan(row.destinations()...)
		return row, err
	})
	return all, database.Failed(ctx, err)
}
