package state

import (
	"context"
	"fmt"
	"time"
)

// sweepBatch bounds the rows that one change removes, so that other changes wait
// only briefly.
const sweepBatch = 500

// Sweep removes what has expired. Expired rows are not found before that either,
// but idempotency keys count towards ErrFull. The program that has the file open
// calls it every few minutes.
func (db *DB) Sweep(ctx context.Context) error {
	now := toMillis(db.now())
	for _, table := range []string{"session", "code", "idempotency"} {
		statement := fmt.Sprintf(`DELETE FROM %[1]s WHERE hash IN (SELECT hash FROM %[1]s WHERE expires <= ? LIMIT ?)`, table)
		for n := sweepBatch; n == sweepBatch; {
			var err error
			if n, err = db.changeOne(ctx, processExit, 0, statement, now, sweepBatch); err != nil {
				return fmt.Errorf("removing expired rows of %s: %w", table, err)
			}
		}
	}
	return nil
}

// toMillis returns a time as it is stored. It rounds down: what expires does so up
// to a millisecond early.
func toMillis(t time.Time) int64 { return t.UnixMilli() }

func toTime(millis int64) time.Time { return time.UnixMilli(millis).UTC() }
