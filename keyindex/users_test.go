package keyindex

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

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
