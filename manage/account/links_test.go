package account

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store/audit"
)

func (f *fixture) link(name string) authz.Secret {
	f.Helper()
	token, code, err := f.CreatePasswordLink(f.Context(), f.admin, manage.UserRef{Name: name})
	f.want("a link", err, "")
	if !code.Expires.Equal(f.now().Add(24*time.Hour)) || code.Subject != name {
		f.Errorf("%+v", code)
	}
	return token
}

// TestLinkIsGood: until it is used, its day is over, a newer one is made, or the user's
// record is changed in any way.
func TestLinkIsGood(t *testing.T) {
	used := func(f *fixture, token authz.Secret) error {
		return f.SetPassword(f.Context(), testCall, token, newPassword)
	}
	patched := func(patch manage.UserPatch) func(*fixture, authz.Secret) error {
		return func(f *fixture, _ authz.Secret) error { return f.patch("alice", patch) }
	}
	for what, c := range map[string]struct {
		before func(f *fixture, token authz.Secret) error
		want   fault.Code
	}{
		"made": {func(*fixture, authz.Secret) error { return nil }, ""},
		"read": {func(f *fixture, token authz.Secret) error {
			_, err := f.Link(f.Context(), state.PurposePassword, token)
			return err
		}, ""},
		"almost a day old": {func(f *fixture, _ authz.Secret) error { f.pass(24*time.Hour - time.Millisecond); return nil }, ""},
		"a day old":        {func(f *fixture, _ authz.Secret) error { f.pass(24 * time.Hour); return nil }, fault.NotFound},
		"used":             {used, fault.NotFound},
		"used, by a clock that goes back": {func(f *fixture, token authz.Secret) error {
			f.pass(-time.Hour)
			return used(f, token)
		}, fault.NotFound},
		"a newer one":    {func(f *fixture, _ authz.Secret) error { f.link("alice"); return nil }, fault.NotFound},
		"one of another": {func(f *fixture, _ authz.Secret) error { f.user("bob"); f.link("bob"); return nil }, ""},
		"a password":     {func(f *fixture, _ authz.Secret) error { return f.setPassword("alice") }, fault.NotFound},
		"disabled":       {patched(manage.UserPatch{Disabled: new(true)}), fault.NotFound},
		"given more":     {patched(manage.UserPatch{Scopes: &[]string{access.ScopeAdmin}}), fault.NotFound},
		"deleted":        {func(f *fixture, _ authz.Secret) error { return f.delete("alice") }, fault.NotFound},
		"deleted and made": {func(f *fixture, _ authz.Secret) error {
			err := f.delete("alice")
			f.user("alice")
			return err
		}, fault.NotFound},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			f.user("alice")
			token := f.link("alice")
			f.want(what, c.before(f, token), "")
			_, err := f.Link(f.Context(), state.PurposePassword, token)
			f.want("read", err, c.want)
			f.want("used", used(f, token), c.want)
			_, err = f.Link(f.Context(), state.PurposeSetup, token)
			f.want("for another purpose", err, fault.NotFound)
		})
	}
}

// TestLinkOutlivesTheStateFile: the record of the user says that a link was used,
// although the state file, restored from a copy, still has its code.
func TestLinkOutlivesTheStateFile(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	token := f.link("alice")
	code, err := f.State.Codes.Peek(f.Context(), state.PurposePassword, token)
	f.want("peek", err, "")
	f.want("use", f.SetPassword(f.Context(), testCall, token, newPassword), "")
	user := f.record("alice")
	if isGood(code, &user) == nil {
		t.Errorf("%+v is good for %+v", code, user)
	}
}

// TestLinkIsUsedOnce: of several uses at once, one sets the password.
func TestLinkIsUsedOnce(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	token := f.link("alice")
	var done atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch err := f.SetPassword(f.Context(), testCall, token, newPassword); fault.CodeOf(err) {
			case fault.NotFound:
			default:
				if err != nil {
					t.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	if done.Load() != 1 {
		t.Errorf("%d uses", done.Load())
	}
}

// TestPasswordByLink: the sessions before end, keys stay, and the log has the user.
func TestPasswordByLink(t *testing.T) {
	f := newFixture(t)
	f.user("alice", "read")
	f.want("must change", f.patch("alice", manage.UserPatch{MustChange: new(true)}), "")
	_, cookie := f.login("alice")
	key := f.key("alice")
	token := f.link("alice")
	f.want("a short password", f.SetPassword(f.Context(), testCall, token, authz.NewSecret("1234567")), fault.Invalid)
	f.want("use", f.SetPassword(f.Context(), testCall, token, newPassword), "")
	if f.actor(cookie).Known() || !f.keyActor(key.Key()).Known() || f.record("alice").MustChange {
		t.Errorf("the session: %q, the key: %q, %+v", f.actor(cookie).Name(), f.keyActor(key.Key()).Name(), f.record("alice"))
	}
	var made, set bool
	for _, e := range f.entries() {
		made = made || e.Action == audit.LinkCreate && e.Record == "alice" && e.Actor == f.admin.Name()
		set = set || e.Action == audit.UserPassword && e.Record == "alice" && e.Actor == "alice" && e.Outcome == audit.Done && e.Address == "192.0.2.1"
	}
	if !made || !set {
		t.Errorf("%+v", f.entries())
	}
}

func TestLinkRefused(t *testing.T) {
	f := newFixture(t)
	_, err := f.Records.CreateUser(f.Context(), f.admin, manage.UserInput{Name: "ci", Service: true})
	f.want("a program", err, "")
	_, _, err = f.CreatePasswordLink(f.Context(), f.admin, manage.UserRef{Name: "ci"})
	f.want("for a program", err, fault.Conflict)
	_, _, err = f.CreatePasswordLink(f.Context(), f.admin, manage.UserRef{Name: "unknown"})
	f.want("for no user", err, fault.NotFound)
	f.user("alice")
	_, _, err = f.CreatePasswordLink(f.Context(), f.admin, manage.UserRef{Name: "alice", IfMatch: "other"})
	f.want("for another version", err, fault.Changed)
}

// TestSetUp: the first administrator, once.
func TestSetUp(t *testing.T) {
	f := newFixture(t)
	older, _, err := f.CreateSetupLink(f.Context(), f.admin)
	f.want("a link", err, "")
	token, code, err := f.CreateSetupLink(f.Context(), f.admin)
	f.want("a newer link", err, "")
	if !code.Expires.Equal(f.now().Add(15 * time.Minute)) {
		t.Errorf("%+v", code)
	}
	f.user("alice", access.ScopeUsers)
	setUp := func(token authz.Secret, name, password string) error {
		_, _, err := f.SetUp(f.Context(), testCall, token, name, authz.NewSecret(password))
		return err
	}
	f.want("the older link", setUp(older, "root", testPassword), fault.NotFound)
	f.want("no name", setUp(token, "", testPassword), fault.Invalid)
	f.want("a reserved name", setUp(token, "k_root", testPassword), fault.Invalid)
	f.want("a short password", setUp(token, "root", "1234567"), fault.Invalid)
	f.want("a user who is there", setUp(token, "alice", testPassword), fault.Conflict)
	f.want("a password link", f.SetPassword(f.Context(), testCall, token, newPassword), fault.NotFound)
	f.want("set up", setUp(token, "root", testPassword), "")
	f.want("again", setUp(token, "root2", testPassword), fault.NotFound)
	if r := f.record("root"); !slices.Equal(r.Scopes, []string{access.ScopeAdmin}) {
		t.Errorf("%+v", r)
	}
	_, _, err = f.CreateSetupLink(f.Context(), f.admin)
	f.want("a link when there is an administrator", err, fault.Conflict)
}

// TestSetUpIsDead: as soon as there is an administrator, however it was made, and after
// a quarter of an hour.
func TestSetUpIsDead(t *testing.T) {
	f := newFixture(t)
	token, _, err := f.CreateSetupLink(f.Context(), f.admin)
	f.want("a link", err, "")
	f.user("root", access.ScopeAdmin)
	_, err = f.Link(f.Context(), state.PurposeSetup, token)
	f.want("an administrator was made", err, fault.NotFound)
	_, _, err = f.CreateSetupLink(f.Context(), f.key("root", access.ScopeKeys, access.ScopeUsers))
	f.want("by another than an operator", err, fault.Forbidden)

	f = newFixture(t)
	token, _, err = f.CreateSetupLink(f.Context(), f.admin)
	f.want("a link", err, "")
	f.pass(15*time.Minute - time.Millisecond)
	_, err = f.Link(f.Context(), state.PurposeSetup, token)
	f.want("just within a quarter of an hour", err, "")
	f.pass(time.Millisecond)
	_, _, err = f.SetUp(f.Context(), testCall, token, "root", newPassword)
	f.want("after a quarter of an hour", err, fault.NotFound)
}
