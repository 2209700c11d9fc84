package account

import (
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store"
)

// person is one whom the provider vouches for.
func person(name string, roles ...string) ProviderLogin {
	return ProviderLogin{Identity: access.Identity{Issuer: "https://idp.example.com", Subject: "sub-" + name, User: name, Roles: roles}}
}

// TestLoginByProvider: who logs in with the provider has a session with the roles of that
// login alone.
func TestLoginByProvider(t *testing.T) {
	f := newFixture(t)
	_, err := f.LoginByProvider(t.Context(), testCall, person("alice", "keyward:read"))
	f.want("create_users is off", err, fault.Forbidden)
	f.CreateUsers = true
	cookie, err := f.LoginByProvider(t.Context(), testCall, person("alice", "keyward:read"))
	f.want("login", err, "")
	a := f.actor(cookie)
	sessions, err := f.State.Sessions.List(t.Context(), "alice")
	if !a.Has(access.Read) || a.Has(access.Admin) || err != nil || len(sessions) != 1 || sessions[0].Method != state.LoginOIDC || sessions[0].Address != "192.0.2.1" {
		t.Errorf("%q, %+v, %v", a.Roles(), sessions, err)
	}

	// The next login has the roles of then, and ends the session whose cookie it has.
	l := person("alice")
	l.Presented = cookie
	next, err := f.LoginByProvider(t.Context(), testCall, l)
	f.want("again", err, "")
	if b := f.actor(next); b.Has(access.Read) || !b.Has(access.Self) {
		t.Errorf("%q", b.Roles())
	}
	if f.actor(cookie).Known() {
		t.Error("the cookie from before the login is still one of a session")
	}
	if r := f.record("alice"); len(r.Scopes) != 0 {
		t.Errorf("the record has %q", r.Scopes)
	}

	// A password that must be changed does not matter to a login without one.
	f.user("bob")
	yes := true
	f.want("must change", f.patch("bob", manage.UserPatch{MustChange: &yes}), "")
	_, err = f.LoginByProvider(t.Context(), testCall, person("bob"))
	f.want("a user with a password", err, fault.Forbidden)
	_, err = f.Records.LinkUser(t.Context(), f.admin, "bob", store.AnyVersion, "https://idp.example.com", "sub-bob")
	f.want("link", err, "")
	f.pass(manage.ReauthenticateAfter + 2*time.Second)
	cookie, err = f.LoginByProvider(t.Context(), testCall, person("bob"))
	f.want("a linked user", err, "")
	if a := f.actor(cookie); a.MustChange() || !a.Has(access.Self) {
		t.Error("the password must be changed")
	}
	f.want("disable", f.patch("bob", manage.UserPatch{Disabled: &yes}), "")
	if f.actor(cookie).Known() {
		t.Error("the session of a disabled user goes on")
	}
	_, err = f.LoginByProvider(t.Context(), testCall, person("bob"))
	f.want("a disabled user", err, fault.Forbidden)
}

// TestFreshness is the policy: which login with the provider may make secrets for
// others. A session with the provider of a person who has not logged in to it lately may not.
func TestFreshness(t *testing.T) {
	for name, c := range map[string]struct {
		age    any // of the proof; nil: not known
		proved bool
		ended  time.Duration // how long ago the user's sessions were ended; 0: not
		want   fault.Code    // of the login
		fresh  bool
	}{
		"time not known":              {nil, false, 0, "", false},
		"long ago":                    {24 * time.Hour, false, 0, "", false},
		"a moment ago":                {time.Minute, false, 0, "", true},
		"later than now":              {-time.Minute, false, 0, "", false},
		"asked for":                   {time.Duration(0), true, 0, "", true},
		"asked for, time not known":   {nil, true, 0, "", false},
		"ended, not known":            {nil, false, time.Minute, fault.Reauthenticate, false},
		"ended after the proof":       {5 * time.Minute, false, time.Minute, fault.Reauthenticate, false},
		"ended before the proof":      {time.Minute, false, 5 * time.Minute, "", true},
		"ended long before":           {nil, false, time.Hour, "", false},
		"ended, asked for":            {time.Duration(0), true, time.Minute, "", true},
		"ended, asked for, skewed":    {30 * time.Second, true, time.Second, "", true},
		"asked for, a clock is ahead": {-30 * time.Second, true, 0, "", true},
	} {
		f := newFixture(t)
		f.CreateUsers = true
		l := person("alice", "keyward:admin")
		l.Proved = c.proved
		f.pass(2 * time.Hour)
		_, err := f.LoginByProvider(t.Context(), testCall, person("alice"))
		f.want(name, err, "")
		if c.ended != 0 {
			_, err := f.Records.EndUser(t.Context(), f.admin, manage.UserRef{Name: "alice"})
			f.want(name, err, "")
			f.pass(c.ended)
		}
		if age, known := c.age.(time.Duration); known {
			l.Identity.Proved = f.now().Add(-age)
		}
		cookie, err := f.LoginByProvider(t.Context(), testCall, l)
		f.want(name, err, c.want)
		if err != nil {
			continue
		}
		a := f.actor(cookie)
		_, _, err = f.Records.CreateKey(t.Context(), a, store.KeyParams{Name: "a key"})
		if c.fresh {
			f.want(name+": a secret", err, "")
		} else {
			f.want(name+": a secret", err, fault.Reauthenticate)
		}
		session, err := f.State.Sessions.Find(t.Context(), cookie)
		if err != nil || session.Login.After(f.now()) {
			t.Errorf("%s: %+v, %v", name, session, err)
		}
	}
}

// TestReauthenticateByProvider is the policy: which proof renews which session.
func TestReauthenticateByProvider(t *testing.T) {
	f := newFixture(t)
	f.CreateUsers = true
	begin := func(name string, roles ...string) (access.Actor, authz.Secret) {
		cookie, err := f.LoginByProvider(t.Context(), testCall, person(name, roles...))
		f.want("login", err, "")
		return f.actor(cookie), cookie
	}
	alice, old := begin("alice", "keyward:admin")
	bob, _ := begin("bob")
	prove := func(name, session string, proved bool, roles ...string) (authz.Secret, error) {
		l := person(name, roles...)
		l.Session, l.Proved, l.Identity.Proved = session, proved, f.now()
		return f.LoginByProvider(t.Context(), testCall, l)
	}
	_, err := prove("alice", bob.Session(), true)
	f.want("the session of another user", err, fault.NotFound)
	_, err = prove("bob", alice.Session(), true)
	f.want("another person", err, fault.NotFound)
	_, err = prove("alice", alice.Session(), false)
	f.want("no proof", err, fault.Forbidden)
	if !f.actor(old).Known() {
		t.Fatal("a refusal has ended the session")
	}
	f.pass(20 * time.Minute)
	cookie, err := prove("alice", alice.Session(), true, "keyward:keys")
	f.want("a proof", err, "")
	a := f.actor(cookie)
	if a.Has(access.Admin) || !a.Has(access.Keys) || !a.LoggedInWithin(time.Minute, f.now()) || f.actor(old).Known() {
		t.Errorf("%q", a.Roles())
	}
	_, err = prove("alice", alice.Session(), true)
	f.want("the session that was renewed", err, fault.NotFound)

	f.pass(time.Minute)
	_, err = f.Records.EndUser(t.Context(), f.admin, manage.UserRef{Name: "alice"})
	f.want("end", err, "")
	f.pass(time.Minute)
	_, err = prove("alice", a.Session(), true)
	f.want("a session that was ended", err, fault.Forbidden)

	f.user("carol")
	_, err = f.Records.LinkUser(t.Context(), f.admin, "carol", store.AnyVersion, "https://idp.example.com", "sub-carol")
	f.want("link", err, "")
	f.pass(time.Minute)
	carol, _ := f.login("carol")
	_, err = prove("carol", carol.Session(), true, "keyward:admin")
	f.want("a session that began by a password", err, fault.Forbidden)
}
