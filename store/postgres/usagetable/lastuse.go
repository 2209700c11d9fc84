package usagetable

import (
	"context"
	"sync"
	"time"

	"keyward/store/postgres/database"

	"github.com/jackc/pgx/v5"
)

const (
	// overlap is how long before the last read a row may be dated that was committed
	// after it.
	overlap = time.Minute
	// readAll is the age of the last read after which rows may have been folded that it
	// did not see. It is below the day after which they are.
	readAll = 12 * time.Hour
	// minRefresh is the least time between two reads. Replicas flush every ten seconds.
	minRefresh = 5 * time.Second
)

// lastUses is when each key was last used, by the rows that were read.
type lastUses struct {
	updating sync.Mutex
	readAt   time.Time // of the last read that succeeded, by the database's clock; zero: none
	ended    time.Time // of the last read, by this process's clock
	err      error     // of the last read

	mu   sync.RWMutex
	keys map[keyID]int64
}

// LastUse implements [usage.Store]. The first call reads all rows, with about 50 MB of
// memory for a million keys; a later one those that were written since. Consoles alone
// call it.
func (t *Table) LastUse() (func(id string) int64, error) {
	x := &t.last
	x.updating.Lock()
	defer x.updating.Unlock()
	if age := t.now().Sub(x.ended); age < 0 || age >= minRefresh {
		x.err = t.updateLastUses()
		x.ended = t.now()
	}
	return x.of, x.err
}

func (t *Table) updateLastUses() error {
	x := &t.last
	at, err := t.clock()
	if err != nil {
		return err
	}
	// After a failover the clock is another's.
	if age := at.Sub(x.readAt); age < 0 || age >= readAll {
		err = t.readLastUses(database.StatementTimeout, selectLastUses)
	} else {
		err = t.readLastUses(readTimeout, selectLastUses+` WHERE replica <> '' AND at >= $1::timestamptz`, x.readAt.Add(-overlap))
	}
	if err == nil {
		x.readAt = at
	}
	return err
}

// clock returns the time of the database.
func (t *Table) clock() (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	err = t.db.Pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&at)
	return at, database.Failed(ctx, err)
}

const selectLastUses = `SELECT key_id, last FROM usage`

func (t *Table) readLastUses(timeout time.Duration, sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	rows, err := t.db.Pool.Query(ctx, sql, args...)
	if err != nil {
		return database.Failed(ctx, err)
	}
	var id string
	var last int64
	_, err = pgx.ForEachRow(rows, []any{&id, &last}, func() error {
		t.last.put(id, last)
		return nil
	})
	return database.Failed(ctx, err)
}

func (x *lastUses) put(id string, last int64) {
	key, ok := idOf(id)
	if !ok {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.keys[key] = max(x.keys[key], last)
}

func (x *lastUses) of(id string) int64 {
	key, ok := idOf(id)
	if !ok {
		return 0
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.keys[key]
}
