// Package upkeep is what the operators of a central store need beside its records: it removes
// what need not be kept, and says how the replicas are. It changes no record.
package upkeep

import (
	"context"
	"fmt"
	"time"

	"keyward/store"
	"keyward/store/postgres/database"
)

// MinKeep is what the database keeps at least.
const MinKeep = 24 * time.Hour

// Keep is for how long a database keeps what no record needs. The zero Keep is refused.
type Keep struct {
	// Journal is for lines of the journal: a replica that is further behind begins
	// again. A replica that has reported nothing for as long is forgotten.
	Journal time.Duration
	Audit   time.Duration // for entries of the audit log; zero: forever
}

// Removed is how many rows were removed from a database.
type Removed struct {
	Lines       int64 // of the journal
	Entries     int64 // of the audit log
	Revocations int64 // that are over
	Replicas    int64
}

// Run removes what need not be kept, in small steps, of which each is a transaction of
// its own. It returns what was removed, also beside an error. Several programs may do so
// at once.
func Run(ctx context.Context, db *database.DB, keep Keep) (Removed, error) {
	var removed Removed
	if keep.Journal < MinKeep || keep.Audit < MinKeep && keep.Audit != 0 {
		return removed, fmt.Errorf("%w: the journal and the audit log are kept for a day at least", store.ErrInvalid)
	}
	steps := []removal{
		{&removed.Lines, `SELECT keyward_cut_journal($1::interval)`, []any{keep.Journal}},
		{&removed.Revocations, `SELECT keyward_cut_revocations()`, nil},
		{&removed.Replicas, `SELECT keyward_cut_replicas($1::interval)`, []any{keep.Journal}},
	}
	if keep.Audit != 0 {
		steps = append(steps, removal{&removed.Entries, `SELECT keyward_cut_audit($1::interval)`, []any{keep.Audit}})
	}
	for _, step := range steps {
		for more := true; more; {
			rows, err := remove(ctx, db, step.sql, step.args...)
			if err != nil {
				return removed, err
			}
			*step.rows += rows
			more = rows > 0
		}
	}
	return removed, nil
}

// removal is a function of the database that removes some rows, with the count of them.
type removal struct {
	rows *int64
	sql  string
	args []any
}

// remove calls a function that removes rows, and returns how many it has removed.
func remove(ctx context.Context, db *database.DB, sql string, args ...any) (rows int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	err = db.Pool.QueryRow(ctx, sql, args...).Scan(&rows)
	return rows, database.Failed(ctx, err)
}
