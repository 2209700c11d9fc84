package state

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/postgres/database"
)

// cuts calls change for each message that is lost, and for each whose answer is, with a
// handle whose connection is cut there. then: no connection is made after that.
func cuts(t *testing.T, shared place, then bool, change func(what string, cut *DB, fault *postgrestest.Faults)) {
	t.Helper()
	for _, answerLost := range []bool{false, true} {
		commits := 0
		for at := 1; ; at++ {
			f := &postgrestest.Faults{At: at, AnswerLost: answerLost, Then: then}
			cut := shared
			cut.database.Dial = f.Dial
			what := "a message is lost"
			if answerLost {
				what = "an answer is lost"
			}
			db := cut.open(t, nil)
			db.settle = 5 * time.Second
			if then {
				db.settle = 200 * time.Millisecond
			}
			change(what, db, f)
			if f.Cut() == nil {
				break
			}
			if isCommit(f.Cut()) {
				commits++
			}
		}
		if commits == 0 {
			t.Error("no commit was cut")
		}
	}
}

func isCommit(message []byte) bool { return bytes.Contains(message, []byte("commit\x00")) }

// TestCutConsume: whatever is lost, a code is consumed at most once, and one whose commit
// was not answered is not valid for its client.
func TestCutConsume(t *testing.T) {
	shared := newDatabase(t)
	direct := shared.open(t, nil)
	cuts(t, shared, false, func(what string, cut *DB, _ *postgrestest.Faults) {
		code, _, err := direct.Codes.Issue(t.Context(), 0, PurposePassword, "ada", "v1", time.Hour)
		want(t, "issue", err, nil)
		first := consume(t, cut, code)
		if errors.Is(first, ErrNotFound) {
			t.Errorf("%s: %v", what, first)
		}
		second := consume(t, direct, code)
		if first == nil && !errors.Is(second, ErrNotFound) || second != nil && !errors.Is(second, ErrNotFound) {
			t.Errorf("%s: consumed with %v, then with %v", what, first, second)
		}
	})
}

// TestCutBegin: an attempt of which its client does not know is not running.
func TestCutBegin(t *testing.T) {
	shared := newDatabase(t)
	direct := shared.open(t, nil)
	n := 0
	cuts(t, shared, false, func(what string, cut *DB, _ *postgrestest.Faults) {
		n++
		op := operation("ada", string(rune('a'+n)))
		_, first := cut.Idempotency.Begin(t.Context(), op)
		second, err := direct.Idempotency.Begin(t.Context(), op)
		if first == nil {
			want(t, what+": begun", err, ErrRunning)
		} else if err != nil || second.RecordID != op.RecordID {
			t.Errorf("%s: begun with %v, then %+v, %v", what, first, second, err)
		}
	})
}

// TestCutEnd: of a change with an entry it is known whether it was made, and the kept
// number agrees.
func TestCutEnd(t *testing.T) {
	shared := newDatabase(t)
	direct := shared.open(t, nil)
	entry := int64(0)
	cuts(t, shared, false, func(what string, cut *DB, _ *postgrestest.Faults) {
		entry++
		session, _ := login(t, direct, Login{User: "ada"})
		err := cut.Sessions.End(t.Context(), entry, "ada", session.ID)
		made, errMade := direct.Made(entry)
		exists, errExists := direct.Sessions.Exists(t.Context(), "ada", session.ID)
		if errMade != nil || errExists != nil || made == exists || made != (err == nil) || errors.Is(err, database.ErrUncertain) {
			t.Errorf("%s: ended with %v; the number is kept: %v, the session exists: %v", what, err, made, exists)
		}
	})
}

// TestUncertain: where the database cannot be asked either, the error says so, and an
// attempt is taken over after its lease.
func TestUncertain(t *testing.T) {
	shared := newDatabase(t)
	direct := shared.open(t, nil)
	uncertain := 0
	cuts(t, shared, true, func(what string, cut *DB, fault *postgrestest.Faults) {
		session, _ := login(t, direct, Login{User: "ada"})
		err := cut.Sessions.End(t.Context(), 1, "ada", session.ID)
		message := fault.Cut()
		if committing := isCommit(message); committing != errors.Is(err, store.ErrUncertain) {
			t.Errorf("%s: %q is lost: %v", what, message, err)
		} else if committing {
			uncertain++
		}
	})
	if uncertain != 2 {
		t.Errorf("%d changes are uncertain", uncertain)
	}
	n := 0
	cuts(t, shared, true, func(what string, cut *DB, fault *postgrestest.Faults) {
		n++
		op := operation("ada", string(rune('a'+n)))
		_, first := cut.Idempotency.Begin(t.Context(), op)
		postgrestest.Exec(t, shared.database, `UPDATE state_idempotency SET started = started - 60000 WHERE started > 0`)
		if second, err := direct.Idempotency.Begin(t.Context(), op); err != nil || second.RecordID != op.RecordID {
			t.Errorf("%s: begun with %v, then %+v, %v", what, first, second, err)
		}
	})
}
