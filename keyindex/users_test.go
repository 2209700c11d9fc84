package keyindex

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/store"
)

// TestReservedUsersAreDisabled: those that a store has are refused, and named in
// the log once, as is one that an older program adds later.
func TestReservedUsersAreDisabled(t *testing.T) {
	var log bytes.Buffer
	users := NewUsers()
	users.LogTo(slog.New(slog.NewTextHandler(&log, nil)))
	set := users.Begin()
	add := func(name string) {
		t.Helper()
		if _, err := set.Apply(&store.UserRecord{Name: name, Created: loadedAt, At: loadedAt}); err != nil {
			t.Fatal(err)
		}
	}
	add("alice")
	add("k_alice")
	add("k_alice")
	for i := range 20 {
		add(fmt.Sprint("c_", i))
	}
	users.Commit(set)
	for name, disabled := range map[string]bool{"alice": false, "k_alice": true, "c_7": true} {
		if user, found := users.Lookup(name); !found || user.Disabled != disabled {
			t.Errorf("%s: %+v", name, user)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "users=21") || !strings.Contains(got, "k_alice") || strings.Contains(got, "c_19") {
		t.Errorf("log: %s", got)
	}
	log.Reset()
	for range 2 {
		add("k_bob")
		users.Applied()
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "k_bob") {
		t.Errorf("log: %s", got)
	}
}

// TestDummyHash: unknown users cost what known ones do, in the proportion in which
// the file has them, and each name the same each time.
func TestDummyHash(t *testing.T) {
	users := NewUsers()
	if !users.DummyHash("x").Empty() {
		t.Error("a dummy hash of no users")
	}
	set := users.Begin().(*userSet)
	users.Commit(set)
	if !users.DummyHash("x").Empty() {
		t.Error("a dummy hash where no user has a password")
	}
	for i := range 2 * maxDummies {
		set.addDummy(authz.Secret{})
		set.addDummy(authz.NewSecret(fmt.Sprint("old ", i)))
	}
	for i := range maxDummies {
		set.addDummy(authz.NewSecret([]string{"argon", "bcrypt"}[i%2]))
	}
	seen := map[string]int{}
	for i := range 1000 {
		name := fmt.Sprint("user", i)
		hash := users.DummyHash(name)
		if users.DummyHash(name) != hash {
			t.Fatal("another dummy hash for the same name")
		}
		seen[hash.Reveal()]++
	}
	if len(seen) != 2 || seen["argon"] < 300 || seen["bcrypt"] < 300 {
		t.Errorf("dummy hashes %v", seen)
	}
}

// usersOf are users of records that are applied one after the other.
func usersOf(t *testing.T, records ...store.UserRecord) (*Users, []time.Time) {
	t.Helper()
	users := NewUsers()
	set := users.Begin()
	users.Commit(set)
	var ended []time.Time
	for _, r := range records {
		at, err := set.Apply(&r)
		if err != nil {
			t.Fatal(err)
		}
		ended = append(ended, at)
	}
	return users, ended
}

// TestServiceUsersHaveNoPassword: also if a program wrote one into the file.
func TestServiceUsersHaveNoPassword(t *testing.T) {
	users, _ := usersOf(t, store.UserRecord{Name: "ci", Service: true, Password: "hash", Created: loadedAt, At: loadedAt})
	if ci, found := users.Lookup("ci"); !found || !ci.Password.Empty() || ci.Disabled {
		t.Errorf("%+v", ci)
	}
	if !users.DummyHash("x").Empty() {
		t.Error("its password is one that is verified")
	}
}

// TestEndAllOfAUser: what a user had ends with one record, for those who have the user
// cached too, and no later record takes it back.
func TestEndAllOfAUser(t *testing.T) {
	later := loadedAt.Add(time.Hour)
	alice := store.UserRecord{Name: "alice", Created: loadedAt, At: loadedAt}
	ended, logins, forgetful := alice, alice, alice
	ended.EndAll(later, time.Time{})
	logins.EndLogins(later)
	forgetful.At = later.Add(time.Hour)

	users, _ := usersOf(t, alice)
	cached, _ := users.Lookup("alice")
	if !cached.Since(loadedAt) || cached.Stale() {
		t.Error("ended from the beginning")
	}
	at, err := users.set.Load().Apply(&ended)
	if err != nil || !at.Equal(ended.At) {
		t.Errorf("ended %v, %v", at, err)
	}
	if !cached.Stale() {
		t.Error("who has the user cached does not learn of it")
	}
	for name, users := range map[string][]store.UserRecord{
		"ended": {alice, ended}, "ended, and a record without it": {alice, ended, forgetful}, "at the start": {ended},
	} {
		users, _ := usersOf(t, users...)
		user, _ := users.Lookup("alice")
		for made, want := range map[time.Time]bool{loadedAt: false, later: false, later.Add(time.Microsecond): true, {}: false} {
			if user.Since(made) != want {
				t.Errorf("%s: a key of %v counts: %v", name, made, !want)
			}
		}
		if user.Disabled {
			t.Errorf("%s: disabled", name)
		}
	}
	users, ends := usersOf(t, alice, logins)
	if user, _ := users.Lookup("alice"); !user.Since(loadedAt) || !ends[1].IsZero() {
		t.Error("keys end with logins")
	}
	next := users.Begin()
	if _, err := next.Apply(&alice); err != nil {
		t.Fatal(err)
	}
	users, _ = usersOf(t, alice, ended)
	if users.Undone(next, later) == nil {
		t.Error("a file without it undoes nothing")
	}
}
