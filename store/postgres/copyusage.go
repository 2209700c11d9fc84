package postgres

import (
	"github.com/jackc/pgx/v5"

	"keyward/store/postgres/database"
)

// KeyUsage is the use of a key by a replica, as lines of a usage file: "" for one that it
// does not need.
type KeyUsage struct {
	KeyID        string
	Totals, Days string
	Last         int64 // in microseconds since 1970
}

// copiedReplica is of which replica the use is that came with a copy.
const copiedReplica = "copied"

// Usage adds the use of keys, each of which is passed once.
func (f *Filling) Usage(each func(add func(KeyUsage) error) error) (keys int, err error) {
	var rows [][]any
	write := func() error {
		defer func() { rows = rows[:0] }()
		return f.copy("usage", []string{"key_id", "replica", "totals", "days", "last"}, rows)
	}
	err = each(func(u KeyUsage) error {
		keys++
		rows = append(rows, []any{database.Storable(u.KeyID), copiedReplica, u.Totals, u.Days, u.Last})
		if len(rows) < copiedAtOnce {
			return nil
		}
		return write()
	})
	if err == nil {
		err = write()
	}
	return keys, f.orFailed(err)
}

// Usage calls visit with the use of each key by each replica, those of a key one after the
// other.
func (d *Dump) Usage(visit func(KeyUsage) error) error {
	rows, err := d.w.tx.Query(d.w.ctx, `SELECT key_id, totals, days, last FROM usage ORDER BY key_id`)
	if err != nil {
		return d.w.fail(err)
	}
	var u KeyUsage
	var failed error // of visit
	_, err = pgx.ForEachRow(rows, []any{&u.KeyID, &u.Totals, &u.Days, &u.Last}, func() error {
		failed = visit(u)
		return failed
	})
	if failed != nil {
		return failed
	}
	return d.w.fail(err)
}
