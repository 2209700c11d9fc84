package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"keyward/store"
	"keyward/store/audit"
)

// entry is an entry about a change of target, as a caller gives it.
func entry(action audit.Action, target string) *audit.Entry {
	return &audit.Entry{Actor: "alice", Action: action, Record: target, Via: audit.ViaAPI, Outcome: audit.Done}
}

// make makes a key by an edit.
func (f *fixture) make(name string) store.KeyRecord {
	f.Helper()
	var made store.KeyRecord
	err := f.KeyEditor.Edit(f.ctx(), func(tx store.Tx[store.KeyRecord]) error {
		var err error
		made, _, err = store.KeyMaker{Hasher: f.Hasher, Rand: rand.Reader}.New(&store.KeyParams{Name: name}, f.now())
		tx.Put(&made, entry(audit.KeyCreate, made.ID))
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	return made
}

// entries are those of the audit log, oldest first.
func (f *fixture) entries(filter store.AuditFilter) []audit.Entry {
	f.Helper()
	all, next, err := f.Audit.List(f.ctx(), filter, store.Page{})
	if err != nil || next != "" {
		f.Fatalf("%q, %v", next, err)
	}
	return all
}

func testEdit(f *fixture) {
	one := f.make("one")
	f.wantKey(one)
	if one.Seq == 0 {
		f.Error("the record has no number")
	}
	f.pass(time.Second)
	err := f.KeyEditor.Edit(f.ctx(), func(tx store.Tx[store.KeyRecord]) error {
		r, err := tx.Get(one.ID)
		if err != nil || r.Name != "one" {
			f.Fatalf("%+v, %v", r, err)
		}
		r.Revoke(f.now())
		tx.Put(&r, entry(audit.KeyRevoke, r.ID))
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	got, err := f.Keys.Get(f.ctx(), one.ID)
	all := f.entries(store.AuditFilter{})
	if err != nil || !got.Ended() || len(all) != 2 {
		f.Fatalf("%+v, %v, %+v", got, err, all)
	}
	if e := all[1]; e.Seq != got.Seq || e.Seq != one.Seq+1 || !e.Time.Equal(f.now()) || e.Record != one.ID || e.Outcome != audit.Done || e.Actor != "alice" {
		f.Errorf("%+v of a record of change %d", e, got.Seq)
	}
}

func testRefusedEdit(f *fixture) {
	one := f.make("one")
	refused := errors.New("refused")
	err := f.KeyEditor.Edit(f.ctx(), func(tx store.Tx[store.KeyRecord]) error {
		r, err := tx.Get(one.ID)
		r.Revoke(f.now())
		tx.Put(&r, entry(audit.KeyRevoke, r.ID))
		return errors.Join(refused, err)
	})
	if !errors.Is(err, refused) {
		f.Error(err)
	}
	f.wantKey(one)
	if all := f.entries(store.AuditFilter{}); len(all) != 1 {
		f.Errorf("%+v", all)
	}
	err = f.KeyEditor.Edit(f.ctx(), func(tx store.Tx[store.KeyRecord]) error {
		_, err := tx.Get("k_000000000000")
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		f.Error(err)
	}
}

func testEditOfSeveral(f *fixture) {
	ids := []string{f.make("one").ID, f.make("two").ID}
	f.make("three")
	err := f.KeyEditor.Edit(f.ctx(), func(tx store.Tx[store.KeyRecord]) error {
		for _, id := range ids {
			r, err := tx.Get(id)
			if err != nil {
				return err
			}
			r.Delete(f.now())
			tx.Put(&r, entry(audit.KeyDelete, id))
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, id := range ids {
		err := f.KeyEditor.Edit(f.ctx(), func(tx store.Tx[store.KeyRecord]) error {
			_, err := tx.Get(id)
			return err
		})
		if !errors.Is(err, store.ErrNotFound) {
			f.Errorf("a deleted key: %v", err)
		}
	}
	var left []string
	err = f.KeyEditor.Edit(f.ctx(), func(tx store.Tx[store.KeyRecord]) error {
		left = nil
		return tx.Each(func(r *store.KeyRecord) error {
			left = append(left, r.Name)
			return nil
		})
	})
	if err != nil || !slices.Equal(left, []string{"three"}) {
		f.Errorf("%q, %v", left, err)
	}
	all := f.entries(store.AuditFilter{Action: audit.KeyDelete})
	if len(all) != 2 || all[0].Seq != 4 || all[1].Seq != 5 || all[0].Record != ids[0] {
		f.Errorf("%+v", all)
	}
}

// testInvalidEdit: what cannot be written changes nothing, and its entry says so.
func testInvalidEdit(f *fixture) {
	one := f.make("one")
	err := f.KeyEditor.Edit(f.ctx(), func(tx store.Tx[store.KeyRecord]) error {
		good, bad := one, one
		good.Revoke(f.now())
		bad.Paths = []string{"no path"}
		tx.Put(&good, entry(audit.KeyRevoke, one.ID))
		tx.Put(&bad, entry(audit.KeyUpdate, one.ID))
		return nil
	})
	if !errors.Is(err, store.ErrInvalid) {
		f.Error(err)
	}
	f.wantKey(one)
	for _, e := range f.entries(store.AuditFilter{})[1:] {
		if e.Outcome != audit.NotDone {
			f.Errorf("%+v", e)
		}
	}
	if next := f.make("two"); next.Seq <= one.Seq {
		f.Errorf("%d comes after %d", next.Seq, one.Seq)
	}
	f.wantKey(one)
}

func testEditUsers(f *fixture) {
	put := func(r store.UserRecord, action audit.Action) {
		f.Helper()
		r.At = f.now()
		err := f.UserEditor.Edit(f.ctx(), func(tx store.Tx[store.UserRecord]) error {
			tx.Put(&r, entry(action, r.Name))
			return nil
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	put(store.UserRecord{Name: "bob", Created: f.now()}, audit.UserCreate)
	ended := f.pass(time.Hour)
	put(store.UserRecord{Name: "bob", Created: f.now(), Deleted: ended}, audit.UserDelete)
	err := f.UserEditor.Edit(f.ctx(), func(tx store.Tx[store.UserRecord]) error {
		_, err := tx.Get("bob")
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		f.Errorf("a deleted user: %v", err)
	}
	f.pass(time.Hour)
	put(store.UserRecord{Name: "bob", Created: f.now()}, audit.UserCreate)
	if r, err := f.Users.Get(f.ctx(), "bob"); err != nil || !r.ValidSince.Equal(ended) {
		f.Errorf("the next user of that name: %+v, %v", r, err)
	}
}

func testConcurrentEdits(f *fixture) {
	const writers, each = 4, 5
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			for j := range each {
				f.make(fmt.Sprint(i, j))
			}
		})
	}
	wait.Wait()
	var seqs []int64
	for _, e := range f.entries(store.AuditFilter{}) {
		seqs = append(seqs, e.Seq)
		if r, err := f.Keys.Get(f.ctx(), e.Record); err != nil || r.Seq != e.Seq {
			f.Errorf("change %d: %+v, %v", e.Seq, r, err)
		}
	}
	slices.Sort(seqs)
	for i, seq := range seqs {
		if seq != int64(i)+1 {
			f.Fatalf("the numbers are %d", seqs)
		}
	}
	if len(seqs) != writers*each {
		f.Errorf("%d entries", len(seqs))
	}
}

func testAuditEntries(f *fixture) {
	f.make("one")
	refused := entry(audit.KeyRotate, "k_000000000000")
	refused.Outcome, refused.Reason = audit.Refused, "beyond_caller"
	changed := entry(audit.LimitReset, "k_000000000000")
	changed.Changes = []audit.Change{{Field: "used", From: []byte(`10`), To: []byte(`0`)}}
	if err := f.Audit.Append(f.ctx(), refused, changed); err != nil {
		f.Fatal(err)
	}
	two := f.make("two")
	all := f.entries(store.AuditFilter{})
	if len(all) != 4 || two.Seq != 4 || all[1].Outcome != audit.Refused || all[1].Reason != "beyond_caller" || all[1].Seq != 2 {
		f.Fatalf("%+v", all)
	}
	if c := all[2].Changes; len(c) != 1 || c[0].Field != "used" || string(c[0].To) != `0` {
		f.Errorf("%+v", all[2])
	}
	for what, action := range map[string]audit.Action{"unknown": "key.frobnicate", "of a record": audit.KeyRevoke} {
		if err := f.Audit.Append(f.ctx(), entry(action, "k_000000000000")); !errors.Is(err, store.ErrAudit) {
			f.Errorf("an action that is %s: %v", what, err)
		}
	}
}

func testAuditList(f *fixture) {
	for i := range 5 {
		e := entry(audit.LimitReset, fmt.Sprint("user ", i))
		if e.ActorKey = "k_000000000001"; i%2 == 0 {
			e.Actor = "bob"
		}
		if err := f.Audit.Append(f.ctx(), e); err != nil {
			f.Fatal(err)
		}
		f.pass(time.Minute)
	}
	for what, c := range map[string]struct {
		filter store.AuditFilter
		want   int
	}{
		"all":             {store.AuditFilter{}, 5},
		"by actor":        {store.AuditFilter{Actor: "bob"}, 3},
		"by actor's key":  {store.AuditFilter{Actor: "k_000000000001"}, 5},
		"by target":       {store.AuditFilter{Record: "user 3"}, 1},
		"by action":       {store.AuditFilter{Action: audit.Request}, 0},
		"by time":         {store.AuditFilter{Since: f.now().Add(-2 * time.Minute)}, 2},
		"filters combine": {store.AuditFilter{Actor: "bob", Record: "user 3"}, 0},
	} {
		if got := f.entries(c.filter); len(got) != c.want {
			f.Errorf("%s: %d entries, want %d", what, len(got), c.want)
		}
	}
	page := store.Page{Limit: 2, NewestFirst: true}
	for _, want := range []int64{5, 3, 1} {
		got, next, err := f.Audit.List(f.ctx(), store.AuditFilter{}, page)
		if err != nil || got[0].Seq != want {
			f.Fatalf("%+v, %v; want %d first", got, err, want)
		}
		page.After = next
	}
}
