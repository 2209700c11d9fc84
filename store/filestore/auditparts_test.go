package filestore

import (
	"context"
	"errors"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/store"
	"keyward/store/audit"
	"keyward/store/journal/filesystem"
)

const day = 24 * time.Hour

// partedOn is an audited key file whose log is begun again with each change.
func partedOn(files *memFS) *audited {
	a := newAudited(files)
	a.log.parts.size = 1
	return a
}

// partsOf are the parts of the log.
func (a *audited) partsOf(t *testing.T) []auditPart {
	t.Helper()
	parts, err := a.log.parts.list(auditPath)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

// seqs are the numbers of the log's entries, in the order of a list.
func (a *audited) seqs(t *testing.T) (seqs []int64) {
	t.Helper()
	all, _, err := a.log.List(context.Background(), store.AuditFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// TestParts: a log that is begun again goes on with its numbers, and a list has the
// entries of all its parts.
func TestParts(t *testing.T) {
	a := partedOn(newMemFS())
	if _, err := a.work(); err != nil {
		t.Fatal(err)
	}
	parts := a.partsOf(t)
	if len(parts) != 4 || parts[3].last != 6 || parts[3].path != "/etc/keyward/audit.000000000006.jsonl" {
		t.Errorf("%+v", parts)
	}
	a.consistent(t, "parts", []int64{1, 2, 3, 4, 5, 6, 7})
	if got := a.seqs(t); len(got) != 7 || got[0] != 1 || got[6] != 7 {
		t.Errorf("%v", got)
	}
	// A log without lines goes on where the part before it ended.
	other := partedOn(a.files.clone())
	if err := other.log.Append(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r, err := other.create("after"); err != nil || r.Seq != 8 {
		t.Errorf("%d, %v", r.Seq, err)
	}
	// So does one whose file was lost, which is not taken for a new log.
	lost := newAudited(a.files.clone())
	lost.log.lines.StartOver = true
	if err := lost.files.Remove(auditPath); err != nil {
		t.Fatal(err)
	}
	if r, err := lost.create("after"); err != nil || r.Seq != 7 {
		t.Errorf("%d, %v", r.Seq, err)
	}
}

// TestPartsPowerCut: wherever the power is cut, no entry is lost and no change lacks its
// entry, also where the log is being begun again.
func TestPartsPowerCut(t *testing.T) {
	rnd := mathrand.New(mathrand.NewPCG(5, 6))
	closed := 0
	for cut := 1; ; cut++ {
		ended := false
		for _, kind := range []bool{false, true, true, true} {
			files := newMemFS()
			files.cutAt = cut
			done, err := partedOn(files).work()
			ended = err == nil
			next := partedOn(files.afterCut(kind, rnd))
			after, err := next.create("after")
			if err != nil {
				t.Fatalf("cut after call %d (kind %v): %v", cut, kind, err)
			}
			next.consistent(t, "after a cut", append(done, after.Seq))
			all, _, _ := next.log.List(context.Background(), store.AuditFilter{}, store.Page{})
			for i, e := range all {
				if e.Seq != int64(i+1) {
					t.Fatalf("cut after call %d: entry %d is missing", cut, i+1)
				}
				if e.Outcome == audit.NotDone {
					closed++
				}
			}
		}
		if ended {
			break
		}
	}
	if closed == 0 {
		t.Error("no cut was between an entry and its change")
	}
}

// TestPartsFaults: where a call fails, no entry is lost, and the log goes on.
func TestPartsFaults(t *testing.T) {
	for _, fault := range faults {
		for at := 1; ; at++ {
			files := newMemFS()
			files.failAt, files.fault, files.short = at, fault.err, fault.short
			a := partedOn(files)
			done, _ := a.work()
			if files.calls < at {
				break
			}
			after, err := a.create("after")
			if err != nil {
				t.Fatalf("%s of call %d: %v", fault.name, at, err)
			}
			a.consistent(t, fault.name, append(done, after.Seq))
			for i, seq := range a.seqs(t) {
				if seq != int64(i+1) {
					t.Fatalf("%s of call %d: entry %d is missing", fault.name, at, i+1)
				}
			}
		}
	}
}

// TestUndecidedEntryStays: a log whose last entry may lack its change is not begun again
// by a writer that does not know the change's file.
func TestUndecidedEntryStays(t *testing.T) {
	a := partedOn(newMemFS())
	if _, err := a.create("one"); err != nil {
		t.Fatal(err)
	}
	other := partedOn(a.files)
	other.log.targets = nil
	if err := other.log.Append(context.Background()); err != nil {
		t.Fatal(err)
	}
	if parts := a.partsOf(t); len(parts) != 0 {
		t.Errorf("%+v", parts)
	}
	if err := a.log.Append(context.Background()); err != nil {
		t.Fatal(err)
	}
	if parts := a.partsOf(t); len(parts) != 1 {
		t.Errorf("%+v", parts)
	}
}

// TestKeep: a log is begun again when its first entry is old, and a part is deleted when
// its last entry has been kept for long enough.
func TestKeep(t *testing.T) {
	now := startOfTime
	a := newAudited(newMemFS())
	clock := func() time.Time { return now }
	a.log.now, a.log.parts.now, a.log.parts.keep = clock, clock, 400*day
	for _, step := range []struct {
		after time.Duration
		parts int
		first int64
	}{
		{0, 0, 1},
		{19 * day, 0, 1},
		{day, 1, 1},       // 20 days after the first entry
		{30 * day, 2, 1},  // the part ends 19 days after the start
		{368 * day, 3, 1}, // 399 days after that
		{20 * day, 2, 4},  // the first two are gone
	} {
		now = now.Add(step.after)
		if _, err := a.create("x"); err != nil {
			t.Fatal(err)
		}
		if got := a.seqs(t); len(a.partsOf(t)) != step.parts || got[0] != step.first {
			t.Errorf("after %v: %d parts, from entry %d", step.after, len(a.partsOf(t)), got[0])
		}
	}
}

// TestForeignPartStays: a file that is not a copy of the log is not replaced, and the
// log goes on. It is begun again after a minute.
func TestForeignPartStays(t *testing.T) {
	now := startOfTime
	a := partedOn(newMemFS())
	a.log.parts.now = func() time.Time { return now }
	path := partOf(auditPath, 1).path
	for i := range int64(3) {
		if i == 1 {
			a.files.entries[path] = &memNode{data: []byte("of another log\n")}
		}
		if r, err := a.create("x"); err != nil || r.Seq != i+1 {
			t.Fatalf("%d, %v", r.Seq, err)
		}
	}
	if string(a.files.entries[path].data) != "of another log\n" {
		t.Error("it was replaced")
	}
	for passed, want := range map[time.Duration]int{rotateAgain - 1: 1, rotateAgain: 2} {
		now = startOfTime.Add(passed)
		other := partedOn(a.files.clone())
		other.log.parts.now, other.log.parts.failed = a.log.parts.now, a.log.parts.failed
		if _, err := other.create("x"); err != nil || len(other.partsOf(t)) != want {
			t.Errorf("after %v: %d parts, %v", passed, len(other.partsOf(t)), err)
		}
	}
}

// TestOtherWritersFollow: a writer that waited for the log while it was begun again
// appends to the new file.
func TestOtherWritersFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	refused := func() *audit.Entry {
		return &audit.Entry{Actor: "a", Action: audit.Read, Via: audit.ViaAPI, Outcome: audit.Refused}
	}
	done := make(chan error)
	const writers, each = 4, 25
	for range writers {
		log := NewAuditFile(AuditFileConfig{Path: path})
		log.parts.size = 300
		go func() {
			var err error
			for range each {
				err = errors.Join(err, log.Append(context.Background(), refused()))
			}
			done <- err
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	all, _, err := NewAuditFile(AuditFileConfig{Path: path}).List(t.Context(), store.AuditFilter{}, store.Page{})
	if err != nil || len(all) != writers*each || all[len(all)-1].Seq != writers*each {
		t.Errorf("%d entries, %v", len(all), err)
	}
	names, err := filesystem.OS().Names(filepath.Dir(path))
	if err != nil || len(names) < 20 {
		t.Errorf("%v, %v", names, err)
	}
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(filepath.Dir(path), name)); err != nil || info.Mode().Perm() != 0o600 || strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if _, err := filesystem.OS().Names(path + "/none"); err == nil || errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
}
