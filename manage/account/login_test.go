package account

import (
	"context"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
)

// TestLogin: a password begins a session that counts from then on, and ends that of the
// cookie which the client came with.
func TestLogin(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	f.user("off")
	f.want("disabling", f.patch("off", manage.UserPatch{Disabled: new(true)}), "")
	for what, c := range map[string]struct {
		user     string
		password authz.Secret
	}{"another password": {"alice", newPassword}, "a disabled user": {"off", correct}, "no user": {"bob", correct}} {
		if _, err := f.Login(t.Context(), testCall, c.user, c.password, authz.Secret{}); fault.CodeOf(err) != fault.Invalid || err == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	first, err := f.Login(t.Context(), testCall, "alice", correct, authz.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.Login(t.Context(), testCall, "alice", correct, first)
	if err != nil || second == first {
		t.Fatal("the cookie stays", err)
	}
	if a, err := f.Actor(t.Context(), first, testCall); err != nil || a.Known() {
		t.Errorf("the session from before the login: %v %v", a.Name(), err)
	}
	if a, err := f.Actor(t.Context(), second, testCall); err != nil || a.User() != "alice" || a.Address() != "192.0.2.1" {
		t.Errorf("the session: %v %v", a.Name(), err)
	}
}

// TestLoginWhileChanged: a password that was replaced while it was verified, by a copy of
// the record that is behind, begins no session.
func TestLoginWhileChanged(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	for what, change := range map[string]func(){
		"replaced": func() {},
		"deleted":  func() { f.want("deleting", f.delete("alice"), "") },
	} {
		f.CheckPassword = func(context.Context, string, authz.Secret, authz.RawAddress) (authz.Secret, error) {
			change()
			return authz.NewSecret("$2a$04$another"), nil
		}
		if _, err := f.Login(t.Context(), testCall, "alice", correct, authz.Secret{}); fault.CodeOf(err) != fault.Invalid || err == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestReauthenticate: the password renews a session that began by it, under another
// cookie, and no other session.
func TestReauthenticate(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	cookie, err := f.Login(t.Context(), testCall, "alice", correct, authz.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	f.pass(20 * time.Minute)
	old := f.actor(cookie)
	if old.LoggedInWithin(15*time.Minute, f.now()) {
		t.Fatal("the login is recent")
	}
	if _, _, err := f.Reauthenticate(t.Context(), old, newPassword); fault.CodeOf(err) != fault.Invalid || err == nil {
		t.Errorf("another password: %v", err)
	}
	renewed, now, err := f.Reauthenticate(t.Context(), old, correct)
	if err != nil || !now.LoggedInWithin(15*time.Minute, f.now()) || now.User() != "alice" || now.Via() != testCall.Via {
		t.Fatalf("%v %v", now.Name(), err)
	}
	if f.actor(cookie).Known() || f.actor(renewed).Session() != now.Session() {
		t.Error("the earlier cookie goes on, or the new one does not")
	}
	_, other, err := f.State.Sessions.Create(t.Context(), state.Login{User: "alice", Method: state.LoginOIDC, Roles: []string{access.ScopeAdmin}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Reauthenticate(t.Context(), f.actor(other), correct); fault.CodeOf(err) != fault.Forbidden || err == nil {
		t.Errorf("a session of an identity provider: %v", err)
	}
}
