package account

import (
	"context"
	"slices"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// TestSessionIsJudgedAtEachUse: a session is worth what its user's record says now.
func TestSessionIsJudgedAtEachUse(t *testing.T) {
	for what, c := range map[string]struct {
		change func(f *fixture) error
		roles  []string // nil: the session has ended
	}{
		"nothing": {func(*fixture) error { return nil }, []string{access.ScopeKeys, access.ScopeSelf}},
		"fewer scopes": {func(f *fixture) error {
			return f.patch("ops", manage.UserPatch{Scopes: &[]string{"read"}})
		}, []string{access.ScopeSelf}},
		"disabled": {func(f *fixture) error { return f.patch("ops", manage.UserPatch{Disabled: new(true)}) }, nil},
		"disabled and enabled again": {func(f *fixture) error {
			if err := f.patch("ops", manage.UserPatch{Disabled: new(true)}); err != nil {
				return err
			}
			return f.patch("ops", manage.UserPatch{Disabled: new(false)})
		}, nil},
		"another password": {func(f *fixture) error {
			return f.setPassword("ops")
		}, nil},
		"all ended": {func(f *fixture) error {
			_, err := f.Records.EndUser(f.Context(), f.admin, manage.UserRef{Name: "ops"})
			return err
		}, nil},
		"deleted": {func(f *fixture) error { return f.delete("ops") }, nil},
		"deleted and made again": {func(f *fixture) error {
			if err := f.delete("ops"); err != nil {
				return err
			}
			f.user("ops", access.ScopeKeys)
			return nil
		}, nil},
		"a password that must be changed": {func(f *fixture) error {
			return f.patch("ops", manage.UserPatch{MustChange: new(true)})
		}, []string{}},
		"idle": {func(f *fixture) error { f.pass(30 * time.Minute); return nil }, nil},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			f.user("ops", access.ScopeKeys)
			before, cookie := f.login("ops")
			f.want(what, c.change(f), "")
			now := f.actor(cookie)
			if now.Known() != (c.roles != nil) || !slices.Equal(now.Roles(), c.roles) && now.Known() {
				t.Errorf("the session has %v, want %v", now.Roles(), c.roles)
			}
			renewed, err := f.Renew(f.Context(), before)
			if err != nil || renewed.Known() != now.Known() || !slices.Equal(renewed.Roles(), now.Roles()) {
				t.Errorf("renewed: %v, %v", renewed.Roles(), err)
			}
		})
	}
}

// TestPasswordThatMustBeChanged: a session by it changes it, ends itself, and does
// nothing else. One that an identity provider vouches for is not affected.
func TestPasswordThatMustBeChanged(t *testing.T) {
	f := newFixture(t)
	f.user("root2", access.ScopeAdmin)
	f.want("must change", f.patch("root2", manage.UserPatch{MustChange: new(true)}), "")
	a, _ := f.login("root2")
	_, _, err := f.Records.OwnKeys(f.Context(), a, store.Page{})
	f.want("its own keys", err, fault.Forbidden)
	_, _, err = f.Records.CreateKey(f.Context(), a, store.KeyParams{Name: "x", User: "root2"})
	f.want("a key", err, fault.Forbidden)
	_, err = f.Records.UpdateUser(f.Context(), a, manage.UserRef{Name: "root2"}, manage.UserPatch{Disabled: new(false)})
	f.want("a user", err, fault.Forbidden)
	f.want("logging out", f.EndSession(f.Context(), a, a.Session()), "")
	a, _ = f.login("root2")
	cookie, err := f.ChangePassword(f.Context(), a, authz.NewSecret(testPassword), newPassword)
	f.want("changing it", err, "")
	if now := f.actor(cookie); !now.Has(access.Admin) || now.MustChange() {
		t.Errorf("afterwards the session has %v", now.Roles())
	}
	r, _ := f.Records.Users.Get(f.Context(), "root2")
	r.MustChange = true
	if a := access.SessionActor(&r, access.Session{ID: "s_1", Login: f.now().Add(time.Hour)}, testCall); !a.Has(access.Admin) {
		t.Errorf("a session by an identity provider has %v", a.Roles())
	}
}

// TestChangeOwnPassword: the other sessions end, this one goes on under another cookie,
// and keys stay.
func TestChangeOwnPassword(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	key := f.key("alice")
	_, other := f.login("alice")
	a, cookie := f.login("alice")
	gen := f.record("alice").Gen
	next, err := f.ChangePassword(f.Context(), a, authz.NewSecret(testPassword), newPassword)
	f.want("change", err, "")
	for what, c := range map[string]struct {
		cookie authz.Secret
		lives  bool
	}{"the other session": {other, false}, "the cookie before": {cookie, false}, "the new cookie": {next, true}} {
		if now := f.actor(c.cookie); now.Known() != c.lives {
			t.Errorf("%s is of %q", what, now.Name())
		}
	}
	if r := f.record("alice"); r.Gen != gen+1 || !f.keyActor(key.Key()).Known() {
		t.Errorf("tokens are of generation %d after %d; the key is of %q", r.Gen, gen, f.keyActor(key.Key()).Name())
	}
	sessions, _, err := f.Sessions(f.Context(), f.actor(next), store.Page{})
	if err != nil || len(sessions) != 1 {
		t.Errorf("sessions: %+v, %v", sessions, err)
	}
}

// TestEndedBeforeTheCookie: what ends a user's sessions ends the one as well that a new
// password, or the setup, is about to begin.
func TestEndedBeforeTheCookie(t *testing.T) {
	for what, begin := range map[string]func(f *fixture) (authz.Secret, error){
		"a new password": func(f *fixture) (authz.Secret, error) {
			f.user("alice", access.ScopeAdmin)
			session, _ := f.login("alice")
			f.meanwhile(func() { f.want("another password", f.setPassword("alice"), "") })
			return f.ChangePassword(f.Context(), session, correct, newPassword)
		},
		"the setup": func(f *fixture) (authz.Secret, error) {
			link, _, err := f.CreateSetupLink(f.Context(), f.admin)
			f.want("a link", err, "")
			f.meanwhile(func() {
				_, err := f.Records.EndUser(f.Context(), f.admin, manage.UserRef{Name: "alice"})
				f.want("the end", err, "")
			})
			_, cookie, err := f.SetUp(f.Context(), testCall, link, "alice", correct)
			return cookie, err
		},
	} {
		f := newFixture(t)
		cookie, err := begin(f)
		f.want(what, err, "")
		if f.actor(cookie).Known() {
			t.Errorf("%s: the session goes on", what)
		}
	}
}

// TestEndedSessionChangesNothing: a session that was ended after its request had come in
// makes no change.
func TestEndedSessionChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.user("alice", access.ScopeAdmin)
	a, _ := f.login("alice")
	other, _ := f.login("alice")
	f.CheckPassword = func(ctx context.Context, user string, password authz.Secret, client authz.RawAddress) (authz.Secret, error) {
		f.want("the end", f.EndSession(ctx, other, a.Session()), "")
		return checkTestPassword(ctx, user, password, client)
	}
	_, err := f.ChangePassword(f.Context(), a, correct, newPassword)
	f.want("a password", err, fault.NotFound)
	_, _, err = f.Records.CreateKey(f.Context(), a, store.KeyParams{Name: "late", User: "alice"})
	f.want("a key", err, fault.Forbidden)
	_, err = f.Records.CreateUser(f.Context(), a, manage.UserInput{Name: "late"})
	f.want("a user", err, fault.Forbidden)
	_, err = f.Records.CreateUser(f.Context(), other, manage.UserInput{Name: "late"})
	f.want("by the other session", err, "")
}

// meanwhile calls do between the next change of a record and its answer.
func (f *fixture) meanwhile(do func()) {
	f.Records.Await = func(context.Context, string, int64, int) error {
		f.Records.Await = nil
		f.pass(time.Second)
		do()
		f.pass(time.Second)
		return nil
	}
}

// TestOwnPasswordRefused: what is not accepted changes nothing.
func TestOwnPasswordRefused(t *testing.T) {
	denied := func(reason authz.Reason) func(*fixture) {
		return func(f *fixture) {
			f.CheckPassword = func(context.Context, string, authz.Secret, authz.RawAddress) (authz.Secret, error) {
				return authz.Secret{}, &authz.CredentialError{Reason: reason}
			}
		}
	}
	for what, c := range map[string]struct {
		prepare           func(*fixture)
		current, password string
		want              fault.Code
	}{
		"another current":       {nil, "wrong password", "battery staple", fault.Invalid},
		"a short one":           {nil, testPassword, "1234567", fault.Invalid},
		"too many attempts":     {denied(authz.RateLimited), testPassword, "battery staple", fault.RateLimited},
		"too much to hash":      {denied(authz.Overloaded), testPassword, "battery staple", fault.Overloaded},
		"changed while hashing": {func(f *fixture) { f.CheckPassword = staleHash }, testPassword, "battery staple", fault.Changed},
		"disabled while hashing": {func(f *fixture) {
			f.CheckPassword = func(ctx context.Context, user string, password authz.Secret, client authz.RawAddress) (authz.Secret, error) {
				f.want("disabled", f.patch(user, manage.UserPatch{Disabled: new(true)}), "")
				return checkTestPassword(ctx, user, password, client)
			}
		}, testPassword, "battery staple", fault.Changed},
		"no passwords": {func(f *fixture) { f.CheckPassword = nil }, testPassword, "battery staple", fault.Forbidden},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			f.user("alice")
			a, cookie := f.login("alice")
			if c.prepare != nil {
				c.prepare(f)
			}
			gen := f.record("alice").Gen
			next, err := f.ChangePassword(f.Context(), a, authz.NewSecret(c.current), authz.NewSecret(c.password))
			f.want(what, err, c.want)
			after := f.record("alice")
			if !next.Empty() || !after.Disabled && (after.Gen != gen || !f.actor(cookie).Known()) {
				t.Errorf("a new cookie: %t; the record: %+v", !next.Empty(), after)
			}
		})
	}
}

func staleHash(context.Context, string, authz.Secret, authz.RawAddress) (authz.Secret, error) {
	return authz.NewSecret(testHash + "x"), nil
}

// TestSessionThatEndsMeanwhile: a session that ends after its call was admitted changes
// nothing.
func TestSessionThatEndsMeanwhile(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	a, _ := f.login("alice")
	create := func() error {
		_, _, err := f.Records.CreateKey(f.Context(), a, store.KeyParams{Name: "a key", User: "alice"})
		return err
	}
	f.want("before", create(), "")
	f.want("end", f.EndSession(f.Context(), a, a.Session()), "")
	f.want("after", create(), fault.Forbidden)
}

// TestEndSessionIsAudited: a session that its user ends has its entry.
func TestEndSessionIsAudited(t *testing.T) {
	f := newFixture(t)
	f.user("alice")
	a, cookie := f.login("alice")
	f.want("end", f.EndSession(f.Context(), a, a.Session()), "")
	if _, err := f.State.Sessions.Find(f.Context(), cookie); err == nil {
		t.Error("the session goes on")
	}
	all := f.entries()
	if last := all[len(all)-1]; last.Action != audit.SessionEnd || last.Record != a.Session() || last.Actor != "alice" {
		t.Errorf("the entry: %+v", last)
	}
	f.want("again", f.EndSession(f.Context(), a, a.Session()), fault.NotFound)
}
