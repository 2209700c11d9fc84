package manage

import (
	"context"
	"slices"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/access"
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
			return f.tryPatch(f.admin, "ops", UserPatch{Scopes: scopes("read")})
		}, []string{access.ScopeSelf}},
		"disabled": {func(f *fixture) error { return f.tryPatch(f.admin, "ops", UserPatch{Disabled: new(true)}) }, nil},
		"disabled and enabled again": {func(f *fixture) error {
			if err := f.tryPatch(f.admin, "ops", UserPatch{Disabled: new(true)}); err != nil {
				return err
			}
			return f.tryPatch(f.admin, "ops", UserPatch{Disabled: new(false)})
		}, nil},
		"a program": {func(f *fixture) error { return f.tryPatch(f.admin, "ops", UserPatch{Service: new(true)}) }, nil},
		"another password": {func(f *fixture) error {
			return f.SetPassword(f.ctx(), f.admin, UserRef{Name: "ops"}, authz.NewSecret("another password"))
		}, nil},
		"all ended": {func(f *fixture) error {
			_, err := f.EndUser(f.ctx(), f.admin, UserRef{Name: "ops"})
			return err
		}, nil},
		"deleted": {func(f *fixture) error { return f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "ops"}) }, nil},
		"deleted and made again": {func(f *fixture) error {
			if err := f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "ops"}); err != nil {
				return err
			}
			f.user("ops", []string{access.ScopeKeys})
			return nil
		}, nil},
		"a password that must be changed": {func(f *fixture) error {
			return f.tryPatch(f.admin, "ops", UserPatch{MustChange: new(true)})
		}, []string{}},
		"idle": {func(f *fixture) error { f.pass(30 * time.Minute); return nil }, nil},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t).withState()
			f.user("ops", []string{access.ScopeKeys})
			before, cookie := f.login("ops")
			f.wantCode(what, c.change(f), "")
			now := f.bySessionCookie(cookie)
			if now.Known() != (c.roles != nil) || !slices.Equal(now.Roles(), c.roles) && now.Known() {
				t.Errorf("the session has %v, want %v", now.Roles(), c.roles)
			}
			renewed, err := f.Renew(f.ctx(), before)
			if err != nil || renewed.Known() != now.Known() || !slices.Equal(renewed.Roles(), now.Roles()) {
				t.Errorf("renewed: %v, %v", renewed.Roles(), err)
			}
		})
	}
}

// TestPasswordThatMustBeChanged: a session by it changes it, ends itself, and does
// nothing else. One that an identity provider vouches for is not affected.
func TestPasswordThatMustBeChanged(t *testing.T) {
	f := newFixture(t).withState()
	f.user("root2", []string{access.ScopeAdmin})
	f.setPassword("root2")
	f.wantCode("must change", f.tryPatch(f.admin, "root2", UserPatch{MustChange: new(true)}), "")
	a, _ := f.login("root2")
	_, err := f.ownKeyCount(a)
	f.wantCode("its own keys", err, Forbidden)
	f.wantCode("a key", f.tryCreate(a, store.KeyParams{User: "root2"}), Forbidden)
	f.wantCode("a user", f.tryPatch(a, "root2", UserPatch{Disabled: new(false)}), Forbidden)
	f.wantCode("logging out", f.EndSession(f.ctx(), a, a.Session()), "")
	a, _ = f.login("root2")
	cookie, err := f.ChangeOwnPassword(f.ctx(), a, authz.NewSecret(testPassword), authz.NewSecret("battery staple"))
	f.wantCode("changing it", err, "")
	if now := f.bySessionCookie(cookie); !now.Has(access.Admin) || now.MustChange() {
		t.Errorf("afterwards the session has %v", now.Roles())
	}
	r, _ := f.Users.Get(f.ctx(), "root2")
	r.MustChange = true
	if a := access.SessionActor(&r, access.Session{ID: "s_1", Login: f.now().Add(time.Hour)}, testCall); !a.Has(access.Admin) {
		t.Errorf("a session by an identity provider has %v", a.Roles())
	}
}

func (f *fixture) ownKeyCount(a access.Actor) (int, error) {
	all, _, err := f.OwnKeys(f.ctx(), a, store.Page{})
	return len(all), err
}

// TestReauthenticate: a session whose login is longer ago than 15 minutes makes no
// secret for others. It goes on to do everything else.
func TestReauthenticate(t *testing.T) {
	password := authz.NewSecret("correct horse")
	for what, c := range map[string]struct {
		call func(f *fixture, a access.Actor) error
		want Code
	}{
		"a key for itself":     {func(f *fixture, a access.Actor) error { return f.tryCreate(a, store.KeyParams{User: "root"}) }, ""},
		"a key for another":    {func(f *fixture, a access.Actor) error { return f.tryCreate(a, store.KeyParams{User: "other"}) }, Reauthenticate},
		"a key without a user": {func(f *fixture, a access.Actor) error { return f.tryCreate(a, store.KeyParams{}) }, Reauthenticate},
		"rotating its own key": {func(f *fixture, a access.Actor) error { return f.tryRotate(a, f.ownKey(a), false) }, ""},
		"rotating a key of another": {func(f *fixture, a access.Actor) error {
			return f.tryRotate(a, f.key(store.KeyParams{User: "other"}), false)
		}, Reauthenticate},
		"revoking a key of another": {requests["revoke key of another"], ""},
		"widening a key of another": {requests["widen key of another"], ""},
		"a link":                    {func(f *fixture, a access.Actor) error { return f.tryLink(a, "other") }, Reauthenticate},
		"a password":                {requests["set password"], Reauthenticate},
		"a password, with settings": {requests["set user with a password"], Reauthenticate},
		"its own password, as an admin": {func(f *fixture, a access.Actor) error {
			return f.SetPassword(f.ctx(), a, UserRef{Name: "root"}, password)
		}, Reauthenticate},
		"a user": {requests["create user"], ""},
		"a user with a password": {func(f *fixture, a access.Actor) error {
			_, err := f.CreateUser(f.ctx(), a, UserInput{Name: "new", Password: &password})
			return err
		}, Reauthenticate},
		"disabling a user": {requests["disable user"], ""},
		"importing keys":   {requests["import keys"], Reauthenticate},
		"importing users":  {requests["import users"], Reauthenticate},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t).withState()
			f.actor("admin")
			f.user("root3", []string{access.ScopeAdmin})
			a, _ := f.login("root")
			f.pass(reauthenticateAfter)
			f.wantCode("just within 15 minutes", c.call(f, a), "")
			f.pass(time.Millisecond)
			if what == "a user" || what == "a user with a password" {
				f.wantCode("making room", f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "new"}), "")
			}
			if what == "its own password, as an admin" {
				a, _ = f.login("root")
				f.pass(reauthenticateAfter + time.Millisecond)
			}
			before := len(f.entries())
			err := c.call(f, a)
			f.wantCode("later", err, c.want)
			if e := f.entries(); err != nil && (len(e) <= before || e[len(e)-1].Reason != string(Reauthenticate)) {
				t.Errorf("no entry of the refusal: %+v", e[before:])
			}
		})
	}
}

// TestChangeOwnPassword: the other sessions end, this one goes on under another cookie,
// and keys stay.
func TestChangeOwnPassword(t *testing.T) {
	f := newFixture(t).withState()
	f.user("alice", nil)
	f.setPassword("alice")
	key := f.key(store.KeyParams{User: "alice"})
	_, other := f.login("alice")
	a, cookie := f.login("alice")
	gen := f.userRecord("alice").Gen
	next, err := f.ChangeOwnPassword(f.ctx(), a, authz.NewSecret(testPassword), authz.NewSecret("battery staple"))
	f.wantCode("change", err, "")
	for what, c := range map[string]struct {
		cookie authz.Secret
		lives  bool
	}{"the other session": {other, false}, "the cookie before": {cookie, false}, "the new cookie": {next, true}} {
		if now := f.bySessionCookie(c.cookie); now.Known() != c.lives {
			t.Errorf("%s is of %q", what, now.Name())
		}
	}
	if r := f.userRecord("alice"); r.Gen != gen+1 || !f.actorOf(key).Known() {
		t.Errorf("tokens are of generation %d after %d; the key is of %q", r.Gen, gen, f.actorOf(key).Name())
	}
	sessions, _, err := f.OwnSessions(f.ctx(), f.bySessionCookie(next), store.Page{})
	if err != nil || len(sessions) != 1 {
		t.Errorf("sessions: %+v, %v", sessions, err)
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
		want              Code
	}{
		"another current":       {nil, "wrong password", "battery staple", Invalid},
		"a short one":           {nil, testPassword, "1234567", Invalid},
		"too many attempts":     {denied(authz.RateLimited), testPassword, "battery staple", RateLimited},
		"too much to hash":      {denied(authz.Overloaded), testPassword, "battery staple", Overloaded},
		"changed while hashing": {func(f *fixture) { f.CheckPassword = staleHash }, testPassword, "battery staple", Changed},
		"no passwords":          {func(f *fixture) { f.CheckPassword = nil }, testPassword, "battery staple", Forbidden},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t).withState()
			f.user("alice", nil)
			f.setPassword("alice")
			a, cookie := f.login("alice")
			if c.prepare != nil {
				c.prepare(f)
			}
			before := f.userRecord("alice")
			next, err := f.ChangeOwnPassword(f.ctx(), a, authz.NewSecret(c.current), authz.NewSecret(c.password))
			f.wantCode(what, err, c.want)
			after := f.userRecord("alice")
			if !next.Empty() || after.Version() != before.Version() || !f.bySessionCookie(cookie).Known() {
				t.Errorf("a new cookie: %t; the record: %+v", !next.Empty(), after)
			}
		})
	}
}

func staleHash(context.Context, string, authz.Secret, authz.RawAddress) (authz.Secret, error) {
	return authz.NewSecret(testHash + "x"), nil
}

func (f *fixture) userRecord(name string) store.UserRecord {
	f.Helper()
	r, err := f.Users.Get(f.ctx(), name)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

// TestEndSessionIsAudited: a session that its user ends has its entry.
func TestEndSessionIsAudited(t *testing.T) {
	f := newFixture(t).withState()
	f.user("alice", nil)
	a, cookie := f.login("alice")
	f.wantCode("end", f.EndSession(f.ctx(), a, a.Session()), "")
	if _, err := f.State.Sessions.Find(f.ctx(), cookie); err == nil {
		t.Error("the session goes on")
	}
	all := f.entries()
	if last := all[len(all)-1]; last.Action != audit.SessionEnd || last.Record != a.Session() || last.Actor != "alice" {
		t.Errorf("the entry: %+v", last)
	}
	f.wantCode("again", f.EndSession(f.ctx(), a, a.Session()), NotFound)
}
