package keyindex

import (
	"errors"
	"testing"
	"time"

	"keyward/store"
)

// TestSuspended: while keys and users are suspended none is found and none is current,
// whatever the feed brings; what it brought is in force when they resume.
func TestSuspended(t *testing.T) {
	now := time.Now()
	keys, users := NewKeys(), NewUsers()
	record := store.KeyRecord{ID: "k_000000000001", User: "alice", Created: now, At: now}
	record.Hash[0] = 1
	alice := store.UserRecord{Name: "alice", Created: now, At: now}
	load := func() {
		generation, people := keys.Begin(), users.Begin()
		if _, err := generation.Apply(&record); err != nil {
			t.Fatal(err)
		}
		if _, err := people.Apply(&alice); err != nil {
			t.Fatal(err)
		}
		keys.Commit(generation)
		users.Commit(people)
	}
	keys.Suspend()
	if err := keys.Ready(); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("nothing is loaded: %v", err)
	}
	keys.Resume()
	load()
	before, err := keys.Find(record.Hash, now)
	user, found := users.Lookup("alice")
	if err != nil || !keys.IsCurrent(before.Revision) || !found || user.Stale() {
		t.Fatalf("%v, user found %v", err, found)
	}
	keys.Suspend()
	users.Suspend()
	for what, feed := range map[string]func(){"suspended": func() {}, "suspended, and loaded again": load} {
		feed()
		_, err = keys.Find(record.Hash, now)
		_, errID := keys.FindID(record.ID)
		if !errors.Is(err, ErrSuspended) || !errors.Is(errID, ErrSuspended) || keys.IsCurrent(before.Revision) {
			t.Errorf("%s: %v, %v, current %v", what, err, errID, keys.IsCurrent(before.Revision))
		}
		if _, found := users.Lookup("alice"); found || !user.Stale() || !errors.Is(users.Ready(), ErrSuspended) {
			t.Errorf("%s: user found %v, stale %v, %v", what, found, user.Stale(), users.Ready())
		}
	}
	if err := keys.Ready(); err != nil {
		t.Errorf("suspended keys are loaded: %v", err)
	}
	keys.Resume()
	users.Resume()
	after, err := keys.Find(record.Hash, now)
	if err != nil || !keys.IsCurrent(after.Revision) {
		t.Error(err)
	}
	if _, found := users.Lookup("alice"); !found || users.Ready() != nil {
		t.Errorf("user found %v, %v", found, users.Ready())
	}
}
