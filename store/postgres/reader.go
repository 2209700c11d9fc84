package postgres

import (
	"context"
	"fmt"

	"keyward/store"
	"keyward/store/postgres/database"
)

// conditions select rows by columns: at least those that a filter of type F selects.
type conditions[F any] struct {
	where string // begins with AND; the first parameter is $6
	args  func(*F) []any
}

// reader reads the records of one kind. It implements store.Reader.
type reader[R, F any] struct {
	store *Store
	query query[R]
	args  func(*F) []any // of the query's conditions
	match func(*F, *R) bool
	hide  func(*R) // removes what a reader does not receive; nil: nothing
}

func newReader[R, F any](s *Store, k *kind[R], match func(*F, *R) bool, c conditions[F]) reader[R, F] {
	return reader[R, F]{store: s, query: query[R]{k, c.where}, args: c.args, match: match}
}

// Get implements store.Reader.
func (r *reader[R, F]) Get(ctx context.Context, id string) (R, error) {
	found, err := r.query.current(ctx, r.store.db.Pool, id)
	if err == nil && r.hide != nil {
		r.hide(&found)
	}
	return found, err
}

// Of a list, how many rows are read at once, and the bytes of lines that a page has at
// most: a caller that made large records must not make the program keep many of them.
const (
	rowsAtOnce = 1000
	pageBytes  = 1 << 20
)

// List implements store.Lister. The database selects by columns, and the filter decides.
func (r *reader[R, F]) List(ctx context.Context, filter F, page store.Page) ([]R, store.Cursor, error) {
	after, err := startOf(page)
	if err != nil {
		return nil, "", err
	}
	var args []any
	if r.args != nil {
		args = r.args(&filter)
	}
	limit := rowsAtOnce
	if 0 < page.Limit && page.Limit < limit {
		limit = page.Limit + 1
	}
	var found []R
	var last store.Position
	for bytes := 0; ; limit = rowsAtOnce {
		rows, err := r.query.rows(ctx, r.store.db.Pool, after, page.NewestFirst, limit, args...)
		if err != nil {
			return nil, "", err
		}
		for i := range rows {
			record, err := r.query.record(rows[i].line)
			if err != nil {
				return nil, "", err
			}
			if !r.match(&filter, &record) {
				continue
			}
			if page.Limit > 0 && (len(found) == page.Limit || bytes >= pageBytes) {
				return found, last.Cursor(), nil
			}
			if r.hide != nil {
				r.hide(&record)
			}
			found, last = append(found, record), rows[i].at
			bytes += len(rows[i].line)
		}
		if len(rows) < limit {
			return found, "", nil
		}
		after = &rows[len(rows)-1].at
	}
}

// startOf is where the page before this one ended; nil if this is the first. What no
// record can have as its position is not a cursor.
func startOf(page store.Page) (*store.Position, error) {
	end, err := page.Start()
	if err == nil && end != nil && database.Storable(end.ID) != end.ID {
		err = fmt.Errorf("%w: not a cursor of this list", store.ErrInvalid)
	}
	return end, err
}
