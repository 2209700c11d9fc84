package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/store"
	"keyward/store/postgres/database"
)

// querier is the pool, or a transaction.
type querier interface {
	database.QueryRower
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// query reads the table of one kind.
type query[R any] struct {
	*kind[R]
	where string // of conditions
}

// get returns a record, also of one that was deleted. One that is not
// there is ErrNotFound.
func (q query[R]) get(ctx context.Context, from querier, id string) (R, error) {
	var none R
	if !q.valid(id) {
		return none, q.notFound()
	}
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	var line string
	err := from.QueryRow(ctx, "SELECT line FROM "+q.table+" WHERE id = $1::text", id).Scan(&line)
	if errors.Is(err, pgx.ErrNoRows) {
		return none, q.notFound()
	}
	if err != nil {
		return none, database.Failed(ctx, err)
	}
	return q.record(line)
}

// current is get of a record that was not deleted.
func (q query[R]) current(ctx context.Context, from querier, id string) (R, error) {
	r, err := q.get(ctx, from, id)
	if err == nil && !q.deleted(&r).IsZero() {
		var none R
		return none, q.notFound()
	}
	return r, err
}

func (q query[R]) notFound() error { return fmt.Errorf("%s: %w", q.name, store.ErrNotFound) }

// record decodes a line of the database.
func (q query[R]) record(line string) (R, error) {
	r, err := q.decode([]byte(line))
	if err != nil {
		var none R
		return none, fmt.Errorf("a line in the table %s: %w", q.table, err)
	}
	return q.clone(r), nil
}

// row is a row of a list, with where it is.
type row struct {
	at   store.Position
	line string
}

// rows returns the first rows of a list behind a position, at most limit.
func (q query[R]) rows(ctx context.Context, from querier, after *store.Position, newestFirst bool, limit int, args ...any) ([]row, error) {
	compare, order := ">", "made_seconds, made_nanos, id"
	if newestFirst {
		compare, order = "<", "made_seconds DESC, made_nanos DESC, id DESC"
	}
	sql := "SELECT made_seconds, made_nanos, id, line FROM " + q.table +
		" WHERE NOT deleted AND (NOT $1::boolean OR (made_seconds, made_nanos, id) " + compare + " ($2::bigint, $3::integer, $4::text))" +
		q.where + " ORDER BY " + order + " LIMIT $5::bigint"
	var start store.Position
	if after != nil {
		start = *after
	}
	args = append([]any{after != nil, start.Made.Unix(), int32(start.Made.Nanosecond()), start.ID, int64(limit)}, args...)
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	found, err := from.Query(ctx, sql, args...)
	if err != nil {
		return nil, database.Failed(ctx, err)
	}
	all, err := pgx.CollectRows(found, func(r pgx.CollectableRow) (row, error) {
		var seconds int64
		var nanos int32
		var next row
		err := r.Scan(&seconds, &nanos, &next.at.ID, &next.line)
		next.at.Made = time.Unix(seconds, int64(nanos)).UTC()
		return next, err
	})
	return all, database.Failed(ctx, err)
}

// lines returns the records of a statement that selects lines.
func (q query[R]) lines(ctx context.Context, from querier, sql string, args ...any) ([]R, error) {
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	found, err := from.Query(ctx, sql, args...)
	if err != nil {
		return nil, database.Failed(ctx, err)
	}
	lines, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		return nil, database.Failed(ctx, err)
	}
	records := make([]R, 0, len(lines))
	for _, line := range lines {
		r, err := q.record(line)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}
