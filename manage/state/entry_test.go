package state

import (
	"testing"
	"time"

	"keyward/internal/postgrestest"
)

// TestMade: a change with an entry keeps its number, and one that changes nothing does
// not.
func TestMade(t *testing.T) { onEach(t, testMade) }

func testMade(t *testing.T, newPlace newPlace) {
	shared := newPlace(t)
	db := shared.open(t, nil)
	made := func(seq int64, wanted bool) {
		t.Helper()
		if made, err := shared.open(t, nil).Made(seq); made != wanted || err != nil {
			t.Errorf("%d is made: %v, %v", seq, made, err)
		}
	}
	made(0, false)
	made(7, false)
	session, _ := login(t, db, Login{User: "ada"})
	want(t, "another user's", db.Sessions.End(t.Context(), 7, "bob", session.ID), ErrNotFound)
	made(7, false)
	want(t, "end", db.Sessions.End(t.Context(), 7, "ada", session.ID), nil)
	made(7, true)
	made(8, false)
	_, _, err := db.Codes.Issue(t.Context(), 8, PurposePassword, "ada", "v1", time.Hour)
	want(t, "issue", err, nil)
	made(8, true)
	_, _, err = db.Codes.Issue(t.Context(), 0, PurposePassword, "ada", "v1", time.Hour)
	want(t, "without an entry", err, nil)
	made(8, true)
}

// TestEntriesOfOtherMachines: a change is known to be made after other machines made
// theirs, until its entry is closed.
func TestEntriesOfOtherMachines(t *testing.T) {
	shared := newDatabase(t)
	db := shared.open(t, nil)
	for seq, open := range map[int64]string{7: "now()", 8: "NULL", 9: "now()"} {
		postgrestest.Exec(t, shared.database, `INSERT INTO audit (seq, change_id, time, actor, actor_key, action, target, outcome, operation, line, open_since)
			VALUES ($1, gen_random_uuid(), now(), '', '', '', '', '', '', '', `+open+`)`, seq)
	}
	for seq := range int64(sweepBatch + 10) {
		_, _, err := db.Codes.Issue(t.Context(), seq, PurposePassword, "ada", "v1", time.Hour)
		want(t, "issue", err, nil)
	}
	sweep := func(wanted int) {
		t.Helper()
		want(t, "sweep", db.Sweep(t.Context()), nil)
		if n := rows(t, db, "state_entry"); n != wanted {
			t.Errorf("%d numbers are kept, want %d", n, wanted)
		}
	}
	sweep(2)
	for seq, wanted := range map[int64]bool{7: true, 8: false, 9: true} {
		if made, err := db.Made(seq); made != wanted || err != nil {
			t.Errorf("%d is made: %v, %v", seq, made, err)
		}
	}
	postgrestest.Exec(t, shared.database, `UPDATE audit SET open_since = NULL WHERE seq = 7`)
	sweep(1)
}
