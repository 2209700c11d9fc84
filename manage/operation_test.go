package manage

import (
	"testing"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
)

// TestMade: what an operation changed is found by the keys of its user in the same
// operation alone, and what it was refused is not a change.
func TestMade(t *testing.T) {
	f := newFixture(t)
	f.user("alice", []string{access.ScopeKeys})
	f.user("bob", []string{access.ScopeKeys})
	alice, bob := f.byKey("alice", scopes(access.ScopeKeys)).During("op"), f.byKey("bob", scopes(access.ScopeKeys)).During("op")
	made := func(a access.Actor) int {
		t.Helper()
		entries, err := f.Made(f.ctx(), a)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	_, err := f.CreateUser(f.ctx(), alice, UserInput{Name: "carol"})
	f.wantCode("a user by keyward:keys", err, fault.Forbidden)
	if n := made(alice); n != 0 {
		t.Errorf("%d changes by a refusal", n)
	}
	if _, _, err := f.CreateKey(f.ctx(), alice, store.KeyParams{Name: "x", Scopes: scopes()}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what  string
		actor access.Actor
		want  int
	}{{"the actor", alice, 1}, {"another key of the user", f.byKey("alice", scopes(access.ScopeKeys)).During("op"), 1}, {"another operation", alice.During("other"), 0}, {"no operation", alice.During(""), 0}, {"another actor", bob, 0}} {
		if n := made(test.actor); n != test.want {
			t.Errorf("%s: %d changes, want %d", test.what, n, test.want)
		}
	}
}
