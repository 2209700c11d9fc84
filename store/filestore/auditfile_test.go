package filestore

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	mathrand "math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/journal/filesystem"
)

const auditPath = "/etc/keyward/audit.jsonl"

// audited is a key file whose changes are in an audit log.
type audited struct {
	files  *memFS
	log    *AuditFile
	keys   *KeyFile
	editor store.Editor[store.KeyRecord]
}

func newAudited(files *memFS) *audited {
	now := func() time.Time { return startOfTime }
	a := &audited{
		files: files,
		log:   NewAuditFile(AuditFileConfig{Path: auditPath, FS: files, Now: now}),
		keys:  NewKeyFile(KeyFileConfig{Path: memPath, Hasher: apikey.NewHasher(authz.Secret{}), FS: files, Now: now}),
	}
	a.editor = a.keys.Editor(a.log)
	return a
}

func keyEntry(action audit.Action, id string) *audit.Entry {
	return &audit.Entry{Actor: "alice", Action: action, Record: id, Via: audit.ViaCLI, Outcome: audit.Done}
}

// create makes a key by an edit.
func (a *audited) create(name string) (r store.KeyRecord, err error) {
	err = a.editor.Edit(context.Background(), func(tx store.Tx[store.KeyRecord]) error {
		var err error
		if r, _, err = (store.KeyMaker{Hasher: apikey.NewHasher(authz.Secret{}), Rand: rand.Reader}).New(&store.KeyParams{Name: name}, startOfTime); err != nil {
			return err
		}
		tx.Put(&r, keyEntry(audit.KeyCreate, r.ID))
		return nil
	})
	return r, err
}

// revoke revokes keys in one edit.
func (a *audited) revoke(ids ...string) error {
	return a.editor.Edit(context.Background(), func(tx store.Tx[store.KeyRecord]) error {
		for _, id := range ids {
			r, err := tx.Get(id)
			if err != nil {
				return err
			}
			r.Revoke(startOfTime)
			tx.Put(&r, keyEntry(audit.KeyRevoke, id))
		}
		return nil
	})
}

// work makes changes until one fails, and returns those that were reported as done.
func (a *audited) work() (done []int64, err error) {
	var ids []string
	for _, name := range []string{"one", "two", "three"} {
		r, err := a.create(name)
		if err != nil {
			return done, err
		}
		done, ids = append(done, r.Seq), append(ids, r.ID)
	}
	if err := a.revoke(ids...); err != nil {
		return done, err
	}
	done = append(done, 4, 5, 6)
	r, err := a.create("four")
	if err == nil {
		done = append(done, r.Seq)
	}
	return done, err
}

// consistent fails the test unless every change has its entry, every entry its
// change, and those that were reported as done are there.
func (a *audited) consistent(t *testing.T, what string, done []int64) {
	t.Helper()
	made, unnumbered := map[int64]string{}, 0
	var d store.KeyDecoder
	err := a.keys.lines.Read(context.Background(), func(line []byte, _ int) error {
		r, err := d.Decode(line)
		if err == nil && r.Seq == 0 {
			unnumbered++
		} else if err == nil {
			made[r.Seq] = string(r.ID)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(what, err)
	}
	all, _, err := a.log.List(context.Background(), store.AuditFilter{}, store.Page{})
	if err != nil {
		t.Fatal(what, err)
	}
	entries, behind := map[int64]bool{}, 0
	for _, e := range all {
		if e.Outcome == audit.NotDone {
			continue
		}
		if e.Behind { // its change was made, without a number
			behind++
			continue
		}
		entries[e.Seq] = true
		if made[e.Seq] != e.Record {
			t.Fatalf("%s: entry %d of %s has no change: the file has %q", what, e.Seq, e.Record, made[e.Seq])
		}
	}
	if behind != unnumbered {
		t.Fatalf("%s: %d entries of %d changes without a number", what, behind, unnumbered)
	}
	for seq, id := range made {
		if !entries[seq] {
			t.Fatalf("%s: change %d of %s has no entry", what, seq, id)
		}
	}
	for _, seq := range done {
		if made[seq] == "" && unnumbered == 0 {
			t.Fatalf("%s: change %d was reported as done and is not there", what, seq)
		}
	}
}

// TestAuditPowerCut: wherever the power is cut, every change has its entry once the
// next writer has begun, and every entry its change or not_done.
func TestAuditPowerCut(t *testing.T) {
	rnd := mathrand.New(mathrand.NewPCG(3, 4))
	closed := 0
	for cut := 1; ; cut++ {
		ended := false
		for _, kind := range []bool{false, true, true, true} {
			files := newMemFS()
			files.cutAt = cut
			done, err := newAudited(files).work()
			ended = err == nil
			next := newAudited(files.afterCut(kind, rnd))
			after, err := next.create("after")
			if err != nil {
				t.Fatalf("cut after call %d (kind %v): %v", cut, kind, err)
			}
			next.consistent(t, "after a cut", append(done, after.Seq))
			all, _, _ := next.log.List(context.Background(), store.AuditFilter{}, store.Page{})
			for _, e := range all {
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

// TestAuditFaults: where a call fails, the change is done with its entry or is not
// done.
func TestAuditFaults(t *testing.T) {
	for _, fault := range faults {
		failed := 0
		for at := 1; ; at++ {
			files := newMemFS()
			files.failAt, files.fault, files.short = at, fault.err, fault.short
			a := newAudited(files)
			done, err := a.work()
			if files.calls < at {
				break
			}
			if err != nil {
				failed++
			}
			if _, err := a.create("after"); err != nil {
				t.Fatalf("%s of call %d: %v", fault.name, at, err)
			}
			a.consistent(t, fault.name, done)
		}
		if failed < 50 {
			t.Errorf("%s: %d calls failed a change", fault.name, failed)
		}
	}
}

// brokenLog fails to write the audit log while it is set.
type brokenLog struct {
	*memFS
	broken bool
}

func (b *brokenLog) OpenAppend(path string) (filesystem.File, error) {
	if b.broken && path == auditPath {
		return nil, syscall.EROFS
	}
	return b.memFS.OpenAppend(path)
}

// TestAuditLogBroken: a change that ends something is made without the log, which
// gets the entry later; any other is refused.
func TestAuditLogBroken(t *testing.T) {
	a := newAudited(newMemFS())
	one, err := a.create("one")
	if err != nil {
		t.Fatal(err)
	}
	files := &brokenLog{a.files, true}
	a.log.lines.FS = files
	if _, err := a.create("two"); !errors.Is(err, store.ErrAudit) {
		t.Errorf("a change that is not an end: %v", err)
	}
	if err := a.revoke(one.ID); err != nil {
		t.Fatalf("an end: %v", err)
	}
	if r, err := a.keys.Get(context.Background(), one.ID); err != nil || !r.Ended() {
		t.Errorf("%+v, %v", r, err)
	}
	files.broken = false
	two, err := a.create("two")
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := a.log.List(context.Background(), store.AuditFilter{}, store.Page{})
	if err != nil || len(all) != 3 || all[1].Action != audit.KeyRevoke || !all[1].Behind || all[1].Record != one.ID || all[2].Seq != two.Seq {
		t.Errorf("%+v, %v", all, err)
	}
	// The entry of the end is not taken for one whose change is not there.
	if err := a.revoke(one.ID); err != nil {
		t.Error(err)
	}
}

// TestUnwritableEntry: a change whose entry cannot be a line is refused, also one that
// only ends something, and stands in the way of no later one.
func TestUnwritableEntry(t *testing.T) {
	dir := t.TempDir()
	keys := newKeys(KeyFileConfig{Path: filepath.Join(dir, "keys.jsonl"), Hasher: apikey.NewHasher(authz.Secret{})})
	log := NewAuditFile(AuditFileConfig{Path: filepath.Join(dir, "audit.jsonl")})
	editor := keys.Editor(log)
	r, _, err := keys.Create(t.Context(), store.KeyParams{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	revoke := func(address string) error {
		return editor.Edit(t.Context(), func(tx store.Tx[store.KeyRecord]) error {
			after := r.Clone()
			after.Revoke(time.Now())
			tx.Put(&after, &audit.Entry{Actor: "a", Action: audit.KeyRevoke, Record: r.ID, Via: audit.ViaAPI, Address: address, Outcome: audit.Done})
			return nil
		})
	}
	if err := revoke(strings.Repeat("x", audit.MaxLine)); err == nil {
		t.Error("a change without an entry")
	}
	if err := revoke("192.0.2.1"); err != nil {
		t.Errorf("the change after it: %v", err)
	}
}

// TestNote: an entry that is noted is not waited for, and is durable with the next change.
func TestNote(t *testing.T) {
	a := newAudited(newMemFS())
	if _, err := a.create("one"); err != nil {
		t.Fatal(err)
	}
	file := a.files.entries[auditPath]
	note := func() error {
		return a.log.Note(context.Background(), &audit.Entry{Action: audit.UnknownCredential, Via: audit.ViaAPI, Outcome: audit.Refused, Count: 3})
	}
	if err := note(); err != nil || len(file.synced) == len(file.data) {
		t.Errorf("%d of %d bytes were waited for: %v", len(file.synced), len(file.data), err)
	}
	if _, err := a.create("two"); err != nil || len(file.synced) != len(file.data) {
		t.Errorf("%d of %d bytes are durable: %v", len(file.synced), len(file.data), err)
	}
	if err := note(); err != nil {
		t.Fatal(err)
	}
	left := newAudited(a.files.afterCut(false, nil))
	if r, err := left.create("three"); err != nil || r.Seq != 4 {
		t.Errorf("after a power cut: %d, %v", r.Seq, err)
	}
	if all, _, err := left.log.List(context.Background(), store.AuditFilter{}, store.Page{}); err != nil || len(all) != 4 || all[1].Count != 3 || all[3].Record == "" {
		t.Errorf("%+v, %v", all, err)
	}
}
