package manage

import (
	"errors"
	"testing"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
)

// TestReplacePassword: an actor who replaces a password has proved more than a key does, and
// the proof holds for the record as it is.
func TestReplacePassword(t *testing.T) {
	good := func(*store.UserRecord) error { return nil }
	for what, c := range map[string]struct {
		actor func(f *fixture) access.Actor
		proof func(*store.UserRecord) error
		want  fault.Code
	}{
		"a session":              {func(f *fixture) access.Actor { return f.bySession("plain") }, good, ""},
		"a link":                 {func(*fixture) access.Actor { return access.LinkActor("plain", testCall) }, good, ""},
		"a link that has ended":  {func(*fixture) access.Actor { return access.LinkActor("plain", testCall) }, func(*store.UserRecord) error { return store.ErrNotFound }, fault.NotFound},
		"a link for no user":     {func(*fixture) access.Actor { return access.LinkActor("unknown", testCall) }, good, fault.NotFound},
		"a key":                  {func(f *fixture) access.Actor { return f.byKey("plain", scopes(access.ScopeSelf)) }, good, fault.Forbidden},
		"an administrator's key": {func(f *fixture) access.Actor { return f.byKey("root", scopes(access.ScopeAdmin)) }, good, fault.Forbidden},
		"an operator":            {func(f *fixture) access.Actor { return f.admin }, good, fault.Forbidden},
		"no actor":               {func(*fixture) access.Actor { return access.Actor{} }, good, fault.Forbidden},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			f.actor("admin")
			r, err := f.ReplacePassword(f.ctx(), c.actor(f), authz.NewSecret("correct horse"), c.proof)
			f.wantCode(what, err, c.want)
			if err == nil && (r.Name != "plain" || r.SessionsSince.IsZero() || r.Password != "") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestFirstAdministrator: only a link makes it, and only where there is none.
func TestFirstAdministrator(t *testing.T) {
	f := newFixture(t)
	password := authz.NewSecret("correct horse")
	for what, a := range map[string]access.Actor{"an operator": f.admin, "no actor": {}} {
		_, err := f.CreateFirstAdministrator(f.ctx(), a, password)
		f.wantCode(what, err, fault.Forbidden)
	}
	_, err := f.CreateFirstAdministrator(f.ctx(), access.LinkActor("root", testCall), password)
	f.wantCode("a link", err, "")
	_, err = f.CreateFirstAdministrator(f.ctx(), access.LinkActor("root2", testCall), password)
	f.wantCode("another link", err, fault.NotFound)
	if _, err := f.Users.Get(f.ctx(), "root2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second administrator: %v", err)
	}
}
