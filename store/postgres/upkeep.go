package postgres

import (
	"context"
	"fmt"
	"time"

	"keyward/store"
	"keyward/store/postgres/database"
)

// minKeep is what the database keeps at least, whatever it is told.
const minKeep = 24 * time.Hour

// Keep is for how long a database keeps what no record needs. The zero Keep is refused.
type Keep struct {
	// Journal is for lines of the journal: a replica that is further behind begins
	// again. A replica that has reported nothing for as long is forgotten.
	Journal time.Duration
	Audit   time.Duration // for entries of the audit log
}

// Removed is how many rows were removed from a database.
type Removed struct {
	Lines       int64 // of the journal
	Entries     int64 // of the audit log
	Revocations int64 // that are over
	Replicas    int64
}

// Upkeep removes what need not be kept, in small steps, of which each is a transaction of
// its own. It returns what was removed, also beside an error. Several programs may do so
// at once.
func (s *Store) Upkeep(ctx context.Context, keep Keep) (Removed, error) {
	var removed Removed
	if keep.Journal < minKeep || keep.Audit < minKeep {
		return removed, fmt.Errorf("%w: the journal and the audit log are kept for a day at least", store.ErrInvalid)
	}
	for _, step := range []struct {
		rows *int64
		sql  string
		args []any
	}{
		{&removed.Lines, `SELECT keyward_cut_journal($1::interval)`, []any{keep.Journal}},
		{&removed.Entries, `SELECT keyward_cut_audit($1::interval)`, []any{keep.Audit}},
		{&removed.Revocations, `SELECT keyward_cut_revocations()`, nil},
		{&removed.Replicas, `SELECT keyward_cut_replicas($1::interval)`, []any{keep.Journal}},
	} {
		for more := true; more; {
			rows, err := s.remove(ctx, step.sql, step.args...)
			if err != nil {
				return removed, err
			}
			*step.rows += rows
			more = rows > 0
		}
	}
	return removed, nil
}

// remove calls a function that removes rows, and returns how many it has removed.
func (s *Store) remove(ctx context.Context, sql string, args ...any) (rows int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	err = s.db.Pool.QueryRow(ctx, sql, args...).Scan(&rows)
	return rows, database.Failed(ctx, err)
}
