package state

import (
	"crypto/sha256"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// operation is a request of the caller with this key. All have the same digest.
func operation(caller, key string) Operation {
	return Operation{Caller: caller, Key: key, Digest: sha256.Sum256([]byte("body")), RecordID: "k_" + key}
}

func TestIdempotency(t *testing.T) { onEach(t, testIdempotency) }

func testIdempotency(t *testing.T, newPlace newPlace) {
	c := newClock()
	db := newPlace(t).open(t, c)
	op := operation("ada", "1")
	begin := func(op Operation) (Attempt, error) { return db.Idempotency.Begin(t.Context(), op) }

	a, err := begin(op)
	want(t, "first", err, nil)
	if a.RecordID != "k_1" || a.Resumed || a.Answer != nil {
		t.Errorf("first: %+v", a)
	}
	_, err = begin(op)
	want(t, "while it is running", err, ErrRunning)
	other := op
	other.Digest[0]++
	_, err = begin(other)
	want(t, "another body while it is running", err, ErrReused)

	want(t, "finish", db.Idempotency.Finish(t.Context(), a, []byte(`{"id":"k_1"}`)), nil)
	for range 2 {
		again := op
		again.RecordID = "k_2" // is chosen again for each request
		got, err := begin(again)
		want(t, "again", err, nil)
		if string(got.Answer) != `{"id":"k_1"}` || got.RecordID != "k_1" || got.Resumed {
			t.Errorf("again: %+v", got)
		}
		c.advance(12*time.Hour - time.Millisecond)
	}
	_, err = begin(other)
	want(t, "another body", err, ErrReused)
	for name, op := range map[string]Operation{"another caller": operation("bob", "1"), "another key": operation("ada", "2"), "shifted": operation("ada1", ""), "shifted back": operation("ad", "a1")} {
		got, err := begin(op)
		if op.Key == "" {
			want(t, name, err, ErrInvalid)
		} else if want(t, name, err, nil); got.Answer != nil {
			t.Errorf("%s: has the answer", name)
		}
	}

	c.advance(2 * time.Millisecond)
	a, err = begin(other)
	want(t, "after 24 hours", err, nil)
	if a.Answer != nil || a.Resumed {
		t.Errorf("after 24 hours: %+v", a)
	}
}

// TestAttemptEnds: each attempt ends once.
func TestAttemptEnds(t *testing.T) { onEach(t, testAttemptEnds) }

func testAttemptEnds(t *testing.T, newPlace newPlace) {
	answer := []byte("{}")
	ends := map[string]func(*testing.T, *DB, Attempt) error{
		"finish":  func(t *testing.T, db *DB, a Attempt) error { return db.Idempotency.Finish(t.Context(), a, answer) },
		"abandon": func(t *testing.T, db *DB, a Attempt) error { return db.Idempotency.Abandon(t.Context(), a) },
		"release": func(t *testing.T, db *DB, a Attempt) error { return db.Idempotency.Release(t.Context(), a) },
	}
	for name, end := range ends {
		db := newPlace(t).open(t, nil)
		first, err := db.Idempotency.Begin(t.Context(), operation("ada", "1"))
		want(t, name, err, nil)
		want(t, name, end(t, db, first), nil)
		for again, end := range ends {
			want(t, name+", at once "+again, end(t, db, first), ErrNotFound)
		}
		op := operation("ada", "1")
		op.RecordID = "k_second"
		second, err := db.Idempotency.Begin(t.Context(), op)
		want(t, name, err, nil)
		switch name {
		case "finish":
			if string(second.Answer) != "{}" {
				t.Errorf("finished: %+v", second)
			}
		case "abandon":
			if second.Answer != nil || second.Resumed || second.RecordID != "k_second" {
				t.Errorf("abandoned: %+v", second)
			}
		case "release":
			if second.Answer != nil || !second.Resumed || second.RecordID != "k_1" {
				t.Errorf("released: %+v", second)
			}
		}
		for again, end := range ends {
			want(t, name+", then "+again, end(t, db, first), ErrNotFound)
			want(t, again+" of nothing", end(t, db, Attempt{}), ErrNotFound)
		}
		if name != "finish" {
			want(t, "the second after "+name, db.Idempotency.Finish(t.Context(), second, answer), nil)
		}
	}
}

func TestIdempotencyRefuses(t *testing.T) { onEach(t, testIdempotencyRefuses) }

func testIdempotencyRefuses(t *testing.T, newPlace newPlace) {
	db := newPlace(t).open(t, nil)
	long := strings.Repeat("a", maxIdempotencyText+1)
	for name, op := range map[string]Operation{
		"no caller": operation("", "1"), "no key": operation("ada", ""),
		"long caller": operation(long, "1"), "long key": operation("ada", long),
		"long record": {Caller: "ada", Key: "1", RecordID: long},
	} {
		_, err := db.Idempotency.Begin(t.Context(), op)
		want(t, name, err, ErrInvalid)
	}
	a, err := db.Idempotency.Begin(t.Context(), operation("ada", "1"))
	want(t, "begin", err, nil)
	want(t, "no answer", db.Idempotency.Finish(t.Context(), a, nil), ErrInvalid)
	want(t, "a long answer", db.Idempotency.Finish(t.Context(), a, make([]byte, maxAnswer+1)), ErrInvalid)
	want(t, "the longest answer", db.Idempotency.Finish(t.Context(), a, make([]byte, maxAnswer)), nil)
}

// TestIdempotencyIsBounded: a caller cannot fill the file, and does not keep
// others from theirs.
func TestIdempotencyIsBounded(t *testing.T) { onEach(t, testIdempotencyIsBounded) }

func testIdempotencyIsBounded(t *testing.T, newPlace newPlace) {
	for name, fill := range map[string]struct{ rows, size int }{
		"keys":  {maxKeysPerCaller, 1},
		"bytes": {maxBytesPerCaller / maxAnswer, maxAnswer},
	} {
		db := newPlace(t).open(t, nil)
		fillIdempotency(t, db, fill.rows, fill.size)
		_, err := db.Idempotency.Begin(t.Context(), operation("ada", "1"))
		want(t, name, err, ErrFull)
		_, err = db.Idempotency.Begin(t.Context(), operation("bob", "1"))
		want(t, name+" of another", err, nil)
		if _, err := db.changeOne(t.Context(), processExit, 0, `DELETE FROM state_idempotency WHERE hash = (SELECT hash FROM state_idempotency WHERE caller = 'ada' LIMIT 1)`); err != nil {
			t.Fatal(err)
		}
		_, err = db.Idempotency.Begin(t.Context(), operation("ada", "1"))
		want(t, name+" with one fewer", err, nil)
	}
}

// fillIdempotency stores finished operations of ada, with answers of that size.
func fillIdempotency(t *testing.T, db *DB, rows, size int) {
	t.Helper()
	hash := "convert_to(i::text, 'UTF8')"
	if _, file := db.storage.(*stateFile); file {
		hash = "CAST(i AS BLOB)"
	}
	_, err := db.changeOne(t.Context(), processExit, 0, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		INSERT INTO state_idempotency (hash, caller, digest, record, owner, attempt, answer, size, expires)
		SELECT `+hash+`, 'ada', ?2, '', 0, 0, ?2, ?3, ?4 FROM n`, rows, []byte{0}, size, int64(1)<<50)
	want(t, "fill", err, nil)
}

// TestBeginOnce: of many requests at once, through two handles, one is carried out.
func TestBeginOnce(t *testing.T) { onEach(t, testBeginOnce) }

func testBeginOnce(t *testing.T, newPlace newPlace) {
	shared := newPlace(t)
	handles := []*DB{shared.open(t, nil), shared.open(t, nil)}
	for _, key := range []string{"1", "2", "3", "4"} {
		var all sync.WaitGroup
		var won atomic.Int32
		for i := range 8 {
			all.Go(func() {
				switch a, err := handles[i%2].Idempotency.Begin(t.Context(), operation("ada", key)); {
				case err == nil && !a.Resumed:
					won.Add(1)
				default:
					want(t, "begin", err, ErrRunning)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d requests are carried out", won.Load())
		}
	}
}

// TestInterrupted: the attempts of a handle that is closed are taken over, once,
// and those of one that is open are not.
func TestInterrupted(t *testing.T) {
	path := statePath(t)
	live, next := openFileAt(t, path), openFileAt(t, path)
	ended, err := Open(t.Context(), Config{Path: path})
	want(t, "open", err, nil)
	for key, db := range map[string]*DB{"1": ended, "2": ended, "3": ended, "4": live} {
		a, err := db.Idempotency.Begin(t.Context(), operation("ada", key))
		want(t, "begin", err, nil)
		if key == "3" {
			want(t, "finish", db.Idempotency.Finish(t.Context(), a, []byte("{}")), nil)
		}
	}
	interrupted := func() []Attempt {
		t.Helper()
		attempts, err := next.Idempotency.Interrupted(t.Context())
		want(t, "interrupted", err, nil)
		return attempts
	}
	if got := interrupted(); len(got) != 0 {
		t.Errorf("before: %+v", got)
	}
	want(t, "close", ended.Close(), nil)
	a, err := next.Idempotency.Begin(t.Context(), operation("ada", "1"))
	want(t, "begin", err, nil)
	if !a.Resumed || a.RecordID != "k_1" {
		t.Errorf("begun again: %+v", a)
	}
	got := interrupted()
	if len(got) != 1 || got[0].RecordID != "k_2" || !got[0].Resumed {
		t.Fatalf("after: %+v", got)
	}
	_, err = live.Idempotency.Begin(t.Context(), operation("ada", "2"))
	want(t, "while it is recovered", err, ErrRunning)
	want(t, "abandon", next.Idempotency.Abandon(t.Context(), got[0]), nil)
	if got := interrupted(); len(got) != 0 {
		t.Errorf("afterwards: %+v", got)
	}
}
