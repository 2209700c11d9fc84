package manage

import (
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/oauth"
)

// TestReauthenticate: a session whose login is longer ago than 15 minutes makes no
// secret for others. It goes on to do everything else.
func TestReauthenticate(t *testing.T) {
	password := authz.NewSecret("correct horse")
	for what, c := range map[string]struct {
		call func(f *fixture, a access.Actor) error
		want fault.Code
	}{
		"a key for itself":     {func(f *fixture, a access.Actor) error { return f.tryCreate(a, store.KeyParams{User: "root"}) }, ""},
		"a key for another":    {func(f *fixture, a access.Actor) error { return f.tryCreate(a, store.KeyParams{User: "other"}) }, fault.Reauthenticate},
		"a key without a user": {func(f *fixture, a access.Actor) error { return f.tryCreate(a, store.KeyParams{}) }, fault.Reauthenticate},
		"rotating its own key": {func(f *fixture, a access.Actor) error { return f.tryRotate(a, f.ownKey(a), false) }, ""},
		"rotating a key of another": {func(f *fixture, a access.Actor) error {
			return f.tryRotate(a, f.key(store.KeyParams{User: "other"}), false)
		}, fault.Reauthenticate},
		"revoking a key of another": {requests["revoke key of another"], ""},
		"widening a key of another": {requests["widen key of another"], ""},
		"a link": {func(f *fixture, a access.Actor) error {
			_, err := f.MayLink(f.ctx(), a, UserRef{Name: "other"})
			return err
		}, fault.Reauthenticate},
		"a password":                {requests["set password"], fault.Reauthenticate},
		"a password, with settings": {requests["set user with a password"], fault.Reauthenticate},
		"its own password, as an admin": {func(f *fixture, a access.Actor) error {
			return f.SetPassword(f.ctx(), a, UserRef{Name: "root"}, password, false)
		}, fault.Reauthenticate},
		"a user": {requests["create user"], ""},
		"a user with a password": {func(f *fixture, a access.Actor) error {
			_, err := f.CreateUser(f.ctx(), a, UserInput{Name: "new", Password: &password})
			return err
		}, fault.Reauthenticate},
		"disabling a user": {requests["disable user"], ""},
		"a client":         {requests["create client"], fault.Reauthenticate},
		"a public client": {func(f *fixture, a access.Actor) error {
			_, _, err := f.CreateClient(f.ctx(), a, registry.ClientInput{
				Name: "App", Public: true, Grants: []oauth.Grant{oauth.AuthorizationCode}, RedirectURIs: []string{"https://app.example.com/cb"},
			})
			return err
		}, ""},
		"rotating the secret of a client": {requests["rotate client"], fault.Reauthenticate},
		"disabling a client":              {requests["disable client"], ""},
		"importing keys":                  {requests["import keys"], fault.Reauthenticate},
		"importing users":                 {requests["import users"], fault.Reauthenticate},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			f.actor("admin")
			f.user("root3", []string{access.ScopeAdmin})
			a := f.bySession("root")
			f.pass(ReauthenticateAfter)
			f.wantCode("just within 15 minutes", c.call(f, a), "")
			f.pass(time.Millisecond)
			if what == "a user" || what == "a user with a password" {
				f.wantCode("making room", f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "new"}), "")
			}
			if what == "its own password, as an admin" {
				a = f.bySession("root")
				f.pass(ReauthenticateAfter + time.Millisecond)
			}
			before := len(f.entries())
			err := c.call(f, a)
			f.wantCode("later", err, c.want)
			if e := f.entries(); err != nil && (len(e) <= before || e[len(e)-1].Reason != string(fault.Reauthenticate)) {
				t.Errorf("no entry of the refusal: %+v", e[before:])
			}
		})
	}
}
