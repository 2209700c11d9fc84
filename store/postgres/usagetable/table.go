package usagetable

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"keyward/store/postgres/database"
	"keyward/usage"

	"github.com/jackc/pgx/v5"
)

// Config configures a Table.
type Config struct {
	DB *database.DB
	// Replica is the name of this replica; "" refuses to flush. Two processes of one
	// login that share a name both count.
	Replica string

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now
}

// Table is the table of usage as one replica sees it, by its login: a member of
// keyward_replica its own rows, a member of keyward_writer all. It implements
// [usage.Store], for one Tracker.
type Table struct {
	db      *database.DB
	replica string
	log     *slog.Logger
	now     func() time.Time

	batch string // the id of the batch that may have been written; "": none
	last  lastUses
}

var _ usage.Store = (*Table)(nil)

// New returns the table. It opens no connection.
func New(cfg Config) *Table {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Table{
		db: cfg.DB, replica: database.Storable(cfg.Replica), log: cfg.Log, now: cfg.Now,
		last: lastUses{keys: map[keyID]int64{}},
	}
}

// readTimeout bounds a read for which a caller waits.
const readTimeout = 3 * time.Second

// Lines implements [usage.Store].
func (t *Table) Lines(id string, visit func(line []byte) error) error {
	if !isKeyID(id) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	rows, err := t.db.Pool.Query(ctx, `SELECT totals, days FROM usage WHERE key_id = $1::text`, id)
	if err != nil {
		return database.Failed(ctx, err)
	}
	var totals, days []byte
	var failed error // of visit
	_, err = pgx.ForEachRow(rows, []any{&totals, &days}, func() error {
		failed = errors.Join(visit(totals), visit(days))
		return failed
	})
	if failed != nil {
		return failed
	}
	return database.Failed(ctx, err)
}
