package state

import (
	"context"
	"testing"
	"time"

	"keyward/internal/eventually"
)

// TestUnreleased: an attempt that ended while the database was unavailable is not running
// once it is available again: not for this process, and not for another after this one has
// begun something else. One that has not ended stays running.
func TestUnreleased(t *testing.T) {
	shared := newDatabase(t)
	db, other := shared.open(t, nil), shared.open(t, nil)
	begin := func(db *DB, key string) (Attempt, error) {
		return db.Idempotency.Begin(t.Context(), operation("ada", key))
	}
	var ended []Attempt
	for _, key := range []string{"1", "2"} {
		a, err := begin(db, key)
		want(t, "begin", err, nil)
		ended = append(ended, a)
	}
	_, err := begin(db, "3")
	want(t, "begin", err, nil)

	server.Refuse(t, shared.database, true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for _, a := range ended {
		if err := db.Idempotency.Release(ctx, a); err == nil {
			t.Error("released without the database")
		}
	}
	server.Refuse(t, shared.database, false)

	_, err = begin(other, "2")
	want(t, "another process, before this one says so", err, ErrRunning)
	var a Attempt
	eventually.Succeeds(t, func() error { // the first finds that its connection was cut
		a, err = begin(db, "1")
		return err
	})
	if !a.Resumed {
		t.Errorf("this process: %+v", a)
	}
	a, err = begin(other, "2")
	if want(t, "another process", err, nil); !a.Resumed {
		t.Errorf("%+v", a)
	}
	_, err = begin(db, "2")
	want(t, "what another process carries out now", err, ErrRunning)
	_, err = begin(other, "3")
	want(t, "what has not ended", err, ErrRunning)
}
