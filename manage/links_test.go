package manage

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
)

var newPassword = authz.NewSecret("battery staple")

func (f *fixture) link(name string) authz.Secret {
	f.Helper()
	token, code, err := f.CreatePasswordLink(f.ctx(), f.admin, UserRef{Name: name})
	f.wantCode("a link", err, "")
	if !code.Expires.Equal(f.now().Add(24*time.Hour)) || code.Subject != name {
		f.Errorf("%+v", code)
	}
	return token
}

// TestLinkIsGood: until it is used, its day is over, a newer one is made, or the user's
// record is changed in any way.
func TestLinkIsGood(t *testing.T) {
	used := func(f *fixture, token authz.Secret) error {
		return f.SetPasswordByLink(f.ctx(), testCall, token, newPassword)
	}
	patched := func(patch UserPatch) func(*fixture, authz.Secret) error {
		return func(f *fixture, _ authz.Secret) error { return f.tryPatch(f.admin, "alice", patch) }
	}
	for what, c := range map[string]struct {
		before func(f *fixture, token authz.Secret) error
		want   Code
	}{
		"made": {func(*fixture, authz.Secret) error { return nil }, ""},
		"read": {func(f *fixture, token authz.Secret) error {
			_, err := f.Link(f.ctx(), state.PurposePassword, token)
			return err
		}, ""},
		"almost a day old": {func(f *fixture, _ authz.Secret) error { f.pass(24*time.Hour - time.Millisecond); return nil }, ""},
		"a day old":        {func(f *fixture, _ authz.Secret) error { f.pass(24 * time.Hour); return nil }, NotFound},
		"used":             {used, NotFound},
		"used, by a clock that goes back": {func(f *fixture, token authz.Secret) error {
			f.pass(-time.Hour)
			return used(f, token)
		}, NotFound},
		"a newer one":    {func(f *fixture, _ authz.Secret) error { f.link("alice"); return nil }, NotFound},
		"one of another": {func(f *fixture, _ authz.Secret) error { f.user("bob", nil); f.link("bob"); return nil }, ""},
		"a password":     {func(f *fixture, _ authz.Secret) error { f.setPassword("alice"); return nil }, NotFound},
		"disabled":       {patched(UserPatch{Disabled: new(true)}), NotFound},
		"given more":     {patched(UserPatch{Scopes: scopes(access.ScopeAdmin)}), NotFound},
		"a program":      {patched(UserPatch{Service: new(true)}), NotFound},
		"deleted":        {func(f *fixture, _ authz.Secret) error { return f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "alice"}) }, NotFound},
		"deleted and made": {func(f *fixture, _ authz.Secret) error {
			err := f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "alice"})
			f.user("alice", nil)
			return err
		}, NotFound},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t).withState()
			f.user("alice", nil)
			token := f.link("alice")
			f.wantCode(what, c.before(f, token), "")
			_, err := f.Link(f.ctx(), state.PurposePassword, token)
			f.wantCode("read", err, c.want)
			f.wantCode("used", used(f, token), c.want)
			_, err = f.Link(f.ctx(), state.PurposeSetup, token)
			f.wantCode("for another purpose", err, NotFound)
		})
	}
}

// TestLinkOutlivesTheStateFile: the record of the user says that a link was used,
// although the state file, restored from a copy, still has its code.
func TestLinkOutlivesTheStateFile(t *testing.T) {
	f := newFixture(t).withState()
	f.user("alice", nil)
	token := f.link("alice")
	code, err := f.State.Codes.Peek(f.ctx(), state.PurposePassword, token)
	f.wantCode("peek", err, "")
	f.wantCode("use", f.SetPasswordByLink(f.ctx(), testCall, token, newPassword), "")
	user := f.userRecord("alice")
	if isGood(code, &user) == nil {
		t.Errorf("%+v is good for %+v", code, user)
	}
}

// TestLinkIsUsedOnce: of several uses at once, one sets the password.
func TestLinkIsUsedOnce(t *testing.T) {
	f := newFixture(t).withState()
	f.user("alice", nil)
	token := f.link("alice")
	var done atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch err := f.SetPasswordByLink(f.ctx(), testCall, token, newPassword); CodeOf(err) {
			case NotFound:
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
	f := newFixture(t).withState()
	f.user("alice", []string{"read"})
	f.setPassword("alice")
	f.wantCode("must change", f.tryPatch(f.admin, "alice", UserPatch{MustChange: new(true)}), "")
	_, cookie := f.login("alice")
	key := f.key(store.KeyParams{User: "alice"})
	token := f.link("alice")
	f.wantCode("a short password", f.SetPasswordByLink(f.ctx(), testCall, token, authz.NewSecret("1234567")), Invalid)
	f.wantCode("use", f.SetPasswordByLink(f.ctx(), testCall, token, newPassword), "")
	if f.bySessionCookie(cookie).Known() || !f.actorOf(key).Known() || f.userRecord("alice").MustChange {
		t.Errorf("the session: %q, the key: %q, %+v", f.bySessionCookie(cookie).Name(), f.actorOf(key).Name(), f.userRecord("alice"))
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
	f := newFixture(t).withState()
	_, err := f.CreateUser(f.ctx(), f.admin, UserInput{Name: "ci", Service: true})
	f.wantCode("a program", err, "")
	_, _, err = f.CreatePasswordLink(f.ctx(), f.admin, UserRef{Name: "ci"})
	f.wantCode("for a program", err, Conflict)
	_, _, err = f.CreatePasswordLink(f.ctx(), f.admin, UserRef{Name: "unknown"})
	f.wantCode("for no user", err, NotFound)
	f.user("alice", nil)
	_, _, err = f.CreatePasswordLink(f.ctx(), f.admin, UserRef{Name: "alice", IfMatch: "other"})
	f.wantCode("for another version", err, Changed)
	f.State = nil
	_, _, err = f.CreatePasswordLink(f.ctx(), f.admin, UserRef{Name: "alice"})
	f.wantCode("without a state file", err, Conflict)
}

// TestSetUp: the first administrator, once.
func TestSetUp(t *testing.T) {
	f := newFixture(t).withState()
	older, _, err := f.CreateSetupLink(f.ctx(), f.admin)
	f.wantCode("a link", err, "")
	token, code, err := f.CreateSetupLink(f.ctx(), f.admin)
	f.wantCode("a newer link", err, "")
	if !code.Expires.Equal(f.now().Add(15 * time.Minute)) {
		t.Errorf("%+v", code)
	}
	f.user("alice", []string{access.ScopeUsers})
	setUp := func(token authz.Secret, name, password string) error {
		_, _, err := f.SetUp(f.ctx(), testCall, token, name, authz.NewSecret(password))
		return err
	}
	f.wantCode("the older link", setUp(older, "root", testPassword), NotFound)
	f.wantCode("no name", setUp(token, "", testPassword), Invalid)
	f.wantCode("a reserved name", setUp(token, "k_root", testPassword), Invalid)
	f.wantCode("a short password", setUp(token, "root", "1234567"), Invalid)
	f.wantCode("a user who is there", setUp(token, "alice", testPassword), Conflict)
	f.wantCode("a password link", f.SetPasswordByLink(f.ctx(), testCall, token, newPassword), NotFound)
	f.wantCode("set up", setUp(token, "root", testPassword), "")
	f.wantCode("again", setUp(token, "root2", testPassword), NotFound)
	if r := f.userRecord("root"); !administers(&r) {
		t.Errorf("%+v", r)
	}
	_, _, err = f.CreateSetupLink(f.ctx(), f.admin)
	f.wantCode("a link when there is an administrator", err, Conflict)
}

// TestSetUpIsDead: as soon as there is an administrator, however it was made, and after
// a quarter of an hour.
func TestSetUpIsDead(t *testing.T) {
	f := newFixture(t).withState()
	token, _, err := f.CreateSetupLink(f.ctx(), f.admin)
	f.wantCode("a link", err, "")
	f.user("root", []string{access.ScopeAdmin})
	_, err = f.Link(f.ctx(), state.PurposeSetup, token)
	f.wantCode("an administrator was made", err, NotFound)
	_, _, err = f.CreateSetupLink(f.ctx(), f.byKey("root", scopes(access.ScopeKeys, access.ScopeUsers)))
	f.wantCode("by another than an operator", err, Forbidden)

	f = newFixture(t).withState()
	token, _, err = f.CreateSetupLink(f.ctx(), f.admin)
	f.wantCode("a link", err, "")
	f.pass(15*time.Minute - time.Millisecond)
	_, err = f.Link(f.ctx(), state.PurposeSetup, token)
	f.wantCode("just within a quarter of an hour", err, "")
	f.pass(time.Millisecond)
	_, _, err = f.SetUp(f.ctx(), testCall, token, "root", newPassword)
	f.wantCode("after a quarter of an hour", err, NotFound)
}
