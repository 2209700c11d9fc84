package account

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store/audit"
)

// changesOfState end a session of alice's, and make a link for her.
func (f *fixture) changesOfState(a access.Actor) map[audit.Action]func() error {
	return map[audit.Action]func() error{
		audit.SessionEnd: func() error { return f.EndSession(f.Context(), a, a.Session()) },
		audit.LinkCreate: func() error {
			_, _, err := f.CreatePasswordLink(f.Context(), f.admin, manage.UserRef{Name: "alice"})
			return err
		},
	}
}

// TestEntryWithoutItsChange: the entry of a session's end or of a link is closed if the
// process died before the change, and stands if it died after it.
func TestEntryWithoutItsChange(t *testing.T) {
	for _, action := range []audit.Action{audit.SessionEnd, audit.LinkCreate} {
		for _, made := range []bool{false, true} {
			f := newFixture(t)
			f.user("alice")
			a, _ := f.login("alice")
			f.want("an earlier change", f.changesOfState(a)[audit.LinkCreate](), "")
			if made {
				f.want(string(action), f.changesOfState(a)[action](), "")
			} else {
				died := func(int64) error { return nil }
				f.want(string(action), f.Records.Audit.Change(f.Context(), a.Entry(action, "alice", nil), died), "")
			}
			f.want("the next writer", f.Records.Audit.Append(f.Context()), "")
			all := f.entries()
			if last := all[len(all)-1]; last.Action != action || (last.Outcome == audit.Done) != made {
				t.Errorf("%s, made %t: %+v", action, made, last)
			}
		}
	}
}

// TestFailedChangeOfState: where the state file does not take the change, its entry says
// that it was not made.
func TestFailedChangeOfState(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	a, _ := f.login("alice")
	failing, cancel := context.WithCancel(f.Context())
	err := f.change(failing, a.Entry(audit.SessionEnd, a.Session(), nil), func(seq int64) error {
		cancel()
		return f.State.Sessions.End(failing, seq, a.User(), a.Session())
	})
	f.want("a change that fails", err, fault.StoreUnavailable)
	all := f.entries()
	if last := all[len(all)-1]; last.Action != audit.SessionEnd || last.Outcome != audit.NotDone {
		t.Errorf("%+v", last)
	}
	if _, err := f.State.Sessions.Get(f.Context(), a.User(), a.Session()); err != nil {
		t.Errorf("the session: %v", err)
	}
}

// TestStateWithoutTheLog: a session ends although the log cannot be written, which gets
// the entry later. No link is made.
func TestStateWithoutTheLog(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	a, cookie := f.login("alice")
	log := filepath.Join(f.dir, "audit.jsonl")
	text, err := os.ReadFile(log)
	f.want("reading", err, "")
	f.want("removing", os.Remove(log), "")
	f.want("a directory in its place", os.Mkdir(log, 0o700), "")
	f.want("a link", f.changesOfState(a)[audit.LinkCreate](), fault.AuditUnavailable)
	if _, _, err := f.State.Codes.Issue(f.Context(), 0, state.PurposeSetup, "", "", passwordLinkTTL); err != nil {
		t.Fatal(err) // the state file is not what failed
	}
	f.want("an end", f.changesOfState(a)[audit.SessionEnd](), "")
	if _, err := f.State.Sessions.Find(f.Context(), cookie); err == nil {
		t.Error("the session goes on")
	}
	f.want("removing the directory", os.Remove(log), "")
	f.want("writing", os.WriteFile(log, text, 0o600), "")
	f.want("the next writer", f.Records.Audit.Append(f.Context()), "")
	all := f.entries()
	if last := all[len(all)-1]; last.Action != audit.SessionEnd || !last.Behind || last.Outcome != audit.Done {
		t.Errorf("%+v", last)
	}
}

// TestEntryWithoutAStateFile: where the state file is damaged, it says nothing of the last
// change. Its entry stays as it is, and later changes are made.
func TestEntryWithoutAStateFile(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	a, _ := f.login("alice")
	f.want("an end", f.changesOfState(a)[audit.SessionEnd](), "")
	f.want("closing", f.State.Close(), "")
	f.want("damage", os.WriteFile(filepath.Join(f.dir, "keyward.db"), []byte("not a database, and long enough to be looked at"), 0o600), "")
	f.user("bob")
	all := f.entries()
	if last := all[len(all)-1]; last.Action != audit.UserCreate || all[len(all)-2].Action != audit.SessionEnd || all[len(all)-2].Outcome != audit.Done {
		t.Errorf("%+v", all)
	}
}
