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
// but idempotency keys count towards ErrFull. A program that has the state
// open calls it every few minutes.
func (db *DB) Sweep(ctx context.Context) error {
	now := toMillis(db.now())
	for _, table := range []string{"state_session", "state_issuer_session", "state_code", "state_idempotency", "state_refresh", "state_grant"} {
		key := "hash"
		if table == "state_grant" {
			key = "id"
		}
		statement := fmt.Sprintf(`DELETE FROM %[1]s WHERE %[2]s IN (SELECT %[2]s FROM %[1]s WHERE expires <= ?1 LIMIT ?2)`, table, key)
		if err := db.sweep(ctx, statement, now, sweepBatch); err != nil {
			return fmt.Errorf("removing expired rows of %s: %w", table, err)
		}
	}
	// A code that was used is kept as long as its grant.
	err := db.sweep(ctx, `DELETE FROM state_auth_code WHERE hash IN
		(SELECT hash FROM state_auth_code WHERE NOT EXISTS (SELECT 1 FROM state_grant WHERE id = grant_id) LIMIT ?1)`, sweepBatch)
	if err != nil {
		return fmt.Errorf("removing authorization codes: %w", err)
	}
	if statement := db.storage.dialect().dropEntries; statement != "" {
		if err := db.sweep(ctx, statement, sweepBatch); err != nil {
			return fmt.Errorf("removing numbers of closed entries: %w", err)
		}
	}
	return nil
}

// sweep repeats a statement that removes a batch, as long as there are full ones.
func (db *DB) sweep(ctx context.Context, statement string, args ...any) error {
	for {
		n, err := db.changeOne(ctx, processExit, 0, statement, args...)
		if err != nil || n < sweepBatch {
			return err
		}
	}
}

// toMillis returns a time as it is stored. It rounds down: what expires does so up
// to a millisecond early.
func toMillis(t time.Time) int64 { return t.UnixMilli() }

// The times that can be written as RFC 3339 (and so in JSON) and reckoned with: those of
// a row that another program wrote may be any.
const (
	minMillis = -62135596800000 // of the year 1
	maxMillis = 253370764800000 // of the year 9999
)

func toTime(millis int64) time.Time {
	return time.UnixMilli(min(max(millis, minMillis), maxMillis)).UTC()
}
