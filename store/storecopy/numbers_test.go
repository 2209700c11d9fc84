package storecopy

import (
	"context"
	"strings"
	"testing"

	"keyward/store/audit"
	"keyward/store/filestore"
	"keyward/store/filestore/fileheader"
)

// TestNumbersGoOn: the next change has a number behind all that the source gave, also
// where the log does not have their entries.
func TestNumbersGoOn(t *testing.T) {
	for name, c := range map[string]struct {
		fill func(from Files)
		next int64
	}{
		"entries that were removed": {func(from Files) { write(t, from.Audit, header(fileheader.AuditFrom(9))) }, 10},
		"records without entries": {func(from Files) {
			write(t, from.Revocations, header(fileheader.Revocations())+`{"jti":"one","at":"2026-01-01T00:00:00Z","seq":7}`+"\n")
		}, 8},
	} {
		from, back := filesIn(t.TempDir(), nil), filesIn(t.TempDir(), nil)
		c.fill(from)
		db := openDatabase(t, server.Database(t))
		if _, err := ToDatabase(t.Context(), from, db); err != nil {
			t.Fatal(err)
		}
		if _, err := ToFiles(t.Context(), db, back); err != nil {
			t.Fatal(err)
		}
		for _, store := range []contents{inDatabase(db), inFiles(back)} {
			key, _ := newKey(t, "alice")
			if put(t, store.keyEditor, audit.KeyCreate, key.ID, key); key.Seq != c.next {
				t.Errorf("%s: the next change has the number %d, want %d", name, key.Seq, c.next)
			}
		}
	}
}

// notMade says of each change that it was not made.
type notMade struct{}

func (notMade) Made(int64) (bool, error) { return false, nil }

// TestSessionsStayEnded: the entry of a session that was ended stays, although the state
// beside the target's files does not have the session.
func TestSessionsStayEnded(t *testing.T) {
	db, to := openDatabase(t, server.Database(t)), filesIn(t.TempDir(), nil)
	entry := &audit.Entry{Actor: "alice", Action: audit.SessionEnd, Via: audit.ViaConsole, Outcome: audit.Done}
	if err := db.Audit().Change(context.Background(), entry, func(int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := ToFiles(t.Context(), db, to); err != nil {
		t.Fatal(err)
	}
	log := filestore.NewAuditFile(filestore.AuditFileConfig{Path: to.Audit})
	log.Watch("session", notMade{})
	next := &audit.Entry{Actor: "alice", Action: audit.Request, Via: audit.ViaAPI, Outcome: audit.Refused}
	if err := log.Append(context.Background(), next); err != nil {
		t.Fatal(err)
	}
	files := inFiles(to)
	var got []string
	for _, e := range files.all(t).Audit {
		got = append(got, string(e.Outcome))
	}
	if want := "done refused"; strings.Join(got, " ") != want {
		t.Errorf("the outcomes are %s, want %s", got, want)
	}
}
