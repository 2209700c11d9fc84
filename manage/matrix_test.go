package manage

import (
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/oauth"
)

// TestMatrix tries every request as every actor. A cell is what comes of it: + is
// done, f forbidden, b beyond_caller, n not_found; - cannot be tried.
//
// The actors: an administrator's session and key; a key with keyward:keys of a user
// with the scopes read and write under /api; a key with keyward:users of such a user;
// a key with keyward:read; a key with keyward:self; a session of a plain user; a key
// without managing scopes; one whose list names a managing scope that its user does
// not have; a key without a user; and keys that are disabled, expired or revoked.
func TestMatrix(t *testing.T) {
	const matrix = `
request                       | admin    adminkey keys     users    read     self     session  plain    claims   nouser   disabled expired  revoked
create own key                | +        +        +        f        f        +        +        f        f        f        f        f        f
create key of another         | +        +        b        f        f        f        f        f        f        f        f        f        f
create bounded key of another | +        +        +        f        f        f        f        f        f        f        f        f        f
create key of an admin        | +        +        b        f        f        f        f        f        f        f        f        f        f
create managing key           | +        +        b        f        f        b        b        f        f        f        f        f        f
create key without a user     | +        +        +        f        f        f        f        f        f        f        f        f        f
rotate own key                | +        +        +        f        f        +        +        f        f        f        f        f        f
rotate another's own          | n        n        n        f        f        n        n        f        f        f        f        f        f
rotate key of another         | +        +        b        f        f        f        f        f        f        f        f        f        f
rotate key of an admin        | +        +        b        f        f        f        f        f        f        f        f        f        f
revoke own key                | +        +        +        f        f        +        +        f        f        f        f        f        f
revoke another's own          | n        n        n        f        f        n        n        f        f        f        f        f        f
revoke key of another         | +        +        +        f        f        f        f        f        f        f        f        f        f
revoke key of an admin        | +        +        +        f        f        f        f        f        f        f        f        f        f
narrow key of another         | +        +        b        f        f        f        f        f        f        f        f        f        f
widen key within bounds       | +        +        +        f        f        f        f        f        f        f        f        f        f
widen key of another          | +        +        b        f        f        f        f        f        f        f        f        f        f
pause key of another          | +        +        +        f        f        f        f        f        f        f        f        f        f
resume key of another         | +        +        b        f        f        f        f        f        f        f        f        f        f
end grace of another          | +        +        +        f        f        f        f        f        f        f        f        f        f
delete key of another         | +        +        +        f        f        f        f        f        f        f        f        f        f
revoke itself                 | -        +        +        +        +        +        -        +        +        +        f        f        f
rotate itself                 | -        +        b        f        f        b        -        f        f        f        f        f        f
create user                   | +        +        f        b        f        f        f        f        f        f        f        f        f
create bounded user           | +        +        f        +        f        f        f        f        f        f        f        f        f
create user without paths     | +        +        f        b        f        f        f        f        f        f        f        f        f
create managing user          | +        +        f        b        f        f        f        f        f        f        f        f        f
disable user                  | +        +        f        +        f        f        f        f        f        f        f        f        f
enable user                   | +        +        f        b        f        f        f        f        f        f        f        f        f
widen user                    | +        +        f        b        f        f        f        f        f        f        f        f        f
narrow user                   | +        +        f        b        f        f        f        f        f        f        f        f        f
widen user within bounds      | +        +        f        +        f        f        f        f        f        f        f        f        f
disable an admin              | +        +        f        f        f        f        f        f        f        f        f        f        f
revoke all of a user          | +        +        +        f        f        f        f        f        f        f        f        f        f
revoke all of an admin        | +        +        f        f        f        f        f        f        f        f        f        f        f
set password                  | +        +        f        f        f        f        f        f        f        f        f        f        f
delete user                   | +        +        f        f        f        f        f        f        f        f        f        f        f
create project                | +        +        f        f        f        f        f        f        f        f        f        f        f
update project                | +        +        f        f        f        f        f        f        f        f        f        f        f
delete project                | +        +        f        f        f        f        f        f        f        f        f        f        f
read project                  | +        +        f        f        +        f        f        f        f        f        f        f        f
read projects                 | +        +        f        f        +        f        f        f        f        f        f        f        f
create client                 | +        +        f        f        f        f        f        f        f        f        f        f        f
update client                 | +        +        f        f        f        f        f        f        f        f        f        f        f
disable client                | +        +        f        f        f        f        f        f        f        f        f        f        f
rotate client                 | +        +        f        f        f        f        f        f        f        f        f        f        f
delete client                 | +        +        f        f        f        f        f        f        f        f        f        f        f
read client                   | +        +        f        f        +        f        f        f        f        f        f        f        f
read clients                  | +        +        f        f        +        f        f        f        f        f        f        f        f
create own key as a member    | +        +        +        f        f        +        +        f        f        f        f        f        f
create own key, no member     | +        +        b        f        f        b        b        f        f        f        f        f        f
create another's as a member  | +        +        b        f        f        f        f        f        f        f        f        f        f
rotate own key, no member     | +        +        b        f        f        b        b        f        f        f        f        f        f
read audit log                | +        +        f        f        +        f        f        f        f        f        f        f        f
read usage of own key         | +        +        +        f        +        +        +        f        f        f        f        f        f
read usage of another's key   | +        +        +        f        +        n        n        f        f        f        f        f        f
set new user                  | +        +        f        b        f        f        f        f        f        f        f        f        f
set new bounded user          | +        +        f        +        f        f        f        f        f        f        f        f        f
set user with a password      | +        +        f        f        f        f        f        f        f        f        f        f        f
set user disabled             | +        +        f        +        f        f        f        f        f        f        f        f        f
set user wider                | +        +        f        b        f        f        f        f        f        f        f        f        f
set an admin disabled         | +        +        f        f        f        f        f        f        f        f        f        f        f
import keys                   | +        +        f        f        f        f        f        f        f        f        f        f        f
import users                  | +        +        f        f        f        f        f        f        f        f        f        f        f
revoke a token                | +        +        f        f        f        f        f        f        f        f        f        f        f
revoke tokens of a subject    | +        +        f        f        f        f        f        f        f        f        f        f        f
revoke all tokens             | +        +        f        f        f        f        f        f        f        f        f        f        f
`
	var actors []string
	for _, line := range strings.Split(strings.TrimSpace(matrix), "\n") {
		request, rest, _ := strings.Cut(line, "|")
		request = strings.TrimSpace(request)
		cells := strings.Fields(rest)
		if actors == nil {
			actors = cells
			continue
		}
		for i, actor := range actors {
			if cells[i] == "-" {
				continue
			}
			t.Run(request+"/"+actor, func(t *testing.T) {
				f := newFixture(t)
				who := f.actor(actor)
				before := len(f.entries())
				err := requests[request](f, who)
				f.wantCode("", err, map[string]fault.Code{"+": "", "f": fault.Forbidden, "b": fault.BeyondCaller, "n": fault.NotFound}[cells[i]])
				f.wantEntry(who, err, before)
			})
		}
	}
}

// wantEntry fails the test unless what the actor did is in the audit log, or that it
// was refused: nothing is written of a caller who is not known.
func (f *fixture) wantEntry(a access.Actor, err error, before int) {
	f.Helper()
	for _, e := range f.entries()[before:] {
		switch {
		case e.Actor != a.Name():
		case err == nil && e.Outcome == audit.Done, err != nil && e.Outcome == audit.Refused && e.Reason == string(fault.CodeOf(err)):
			return
		}
	}
	if reading := f.Name()[len("TestMatrix/"):]; err == nil && strings.HasPrefix(reading, "read") || !a.Known() {
		return
	}
	f.Errorf("no entry: %+v", f.entries()[before:])
}

// actor makes the actor of a column.
func (f *fixture) actor(column string) access.Actor {
	f.Helper()
	f.user("root", []string{access.ScopeAdmin, "read", "write"})
	f.user("root2", []string{access.ScopeAdmin})
	f.user("other", []string{"read"}, "/api")
	f.user("plain", []string{"read"}, "/api")
	f.user("ops", []string{access.ScopeKeys, access.ScopeUsers, access.ScopeRead, "read", "write"}, "/api")
	switch column {
	case "admin":
		return f.bySession("root")
	case "adminkey":
		return f.byKey("root", scopes(access.ScopeAdmin))
	case "keys":
		return f.byKey("ops", scopes(access.ScopeKeys, access.ScopeSelf, "read"), "/api/v1")
	case "users":
		return f.byKey("ops", scopes(access.ScopeUsers, "read"), "/api/v1")
	case "read":
		return f.byKey("ops", scopes(access.ScopeRead))
	case "self":
		return f.byKey("plain", scopes(access.ScopeSelf, "read"), "/api")
	case "session":
		return f.bySession("plain")
	case "plain":
		return f.byKey("plain", nil)
	case "claims":
		return f.byKey("plain", scopes(access.ScopeAdmin, access.ScopeKeys, access.ScopeUsers, access.ScopeRead, "read"))
	case "nouser":
		return f.byKey("", scopes("read"))
	case "disabled":
		return f.ended(f.key(store.KeyParams{User: "plain", Scopes: scopes(access.ScopeSelf)}), func(key store.KeyRecord) error {
			off := true
			_, err := f.UpdateUser(f.ctx(), f.admin, UserRef{Name: key.User}, UserPatch{Disabled: &off})
			return err
		})
	case "expired":
		return f.ended(f.key(store.KeyParams{User: "root", Scopes: scopes(access.ScopeAdmin), Expires: f.now().Add(1)}), func(store.KeyRecord) error {
			f.pass(1)
			return nil
		})
	case "revoked":
		return f.ended(f.key(store.KeyParams{User: "root", Scopes: scopes(access.ScopeAdmin)}), func(key store.KeyRecord) error {
			_, err := f.RevokeKey(f.ctx(), f.admin, KeyRef{ID: key.ID})
			return err
		})
	default:
		f.Fatalf("no actor %q", column)
		return access.Actor{}
	}
}

// ended is the actor of a key after something ended it.
func (f *fixture) ended(key store.KeyRecord, end func(store.KeyRecord) error) access.Actor {
	f.Helper()
	if err := end(key); err != nil {
		f.Fatal(err)
	}
	return f.actorOf(key)
}

// requests are the rows.
var requests = map[string]func(f *fixture, a access.Actor) error{
	"create own key": func(f *fixture, a access.Actor) error {
		return f.tryCreate(a, store.KeyParams{User: a.User(), Scopes: scopes("read"), Paths: []string{"/api/v1/x"}})
	},
	"create key of another": func(f *fixture, a access.Actor) error {
		return f.tryCreate(a, store.KeyParams{User: "other"})
	},
	"create bounded key of another": func(f *fixture, a access.Actor) error {
		return f.tryCreate(a, store.KeyParams{User: "other", Scopes: scopes("read"), Paths: []string{"/api/v1"}})
	},
	"create key of an admin": func(f *fixture, a access.Actor) error {
		return f.tryCreate(a, store.KeyParams{User: "root2", Scopes: scopes("read"), Paths: []string{"/api/v1"}})
	},
	"create managing key": func(f *fixture, a access.Actor) error {
		return f.tryCreate(a, store.KeyParams{User: a.User(), Scopes: scopes("read", access.ScopeSelf), Paths: []string{"/api/v1"}})
	},
	"create key without a user": func(f *fixture, a access.Actor) error {
		return f.tryCreate(a, store.KeyParams{Scopes: scopes("read"), Paths: []string{"/api/v1"}})
	},
	"rotate own key": func(f *fixture, a access.Actor) error { return f.tryRotate(a, f.ownKey(a), true) },
	"rotate another's own": func(f *fixture, a access.Actor) error {
		return f.tryRotate(a, f.key(store.KeyParams{User: "other"}), true)
	},
	"rotate key of another": func(f *fixture, a access.Actor) error {
		return f.tryRotate(a, f.key(store.KeyParams{User: "other"}), false)
	},
	"rotate key of an admin": func(f *fixture, a access.Actor) error {
		return f.tryRotate(a, f.key(store.KeyParams{User: "root2", Scopes: scopes("read"), Paths: []string{"/api/v1"}}), false)
	},
	"revoke own key": func(f *fixture, a access.Actor) error { return f.tryRevoke(a, f.ownKey(a), true) },
	"revoke another's own": func(f *fixture, a access.Actor) error {
		return f.tryRevoke(a, f.key(store.KeyParams{User: "other"}), true)
	},
	"revoke key of another": func(f *fixture, a access.Actor) error {
		return f.tryRevoke(a, f.key(store.KeyParams{User: "other"}), false)
	},
	"revoke key of an admin": func(f *fixture, a access.Actor) error {
		return f.tryRevoke(a, f.key(store.KeyParams{User: "root2"}), false)
	},
	"narrow key of another": func(f *fixture, a access.Actor) error {
		key := f.key(store.KeyParams{User: "other"})
		list := scopes("read")
		return f.tryUpdate(a, key, KeyPatch{Scopes: &list, Paths: scopes("/api/v1")})
	},
	"widen key within bounds": func(f *fixture, a access.Actor) error {
		key := f.key(store.KeyParams{User: "other", Scopes: scopes("read"), Paths: []string{"/api/v1/a"}})
		return f.tryUpdate(a, key, KeyPatch{Paths: scopes("/api/v1")})
	},
	"widen key of another": func(f *fixture, a access.Actor) error {
		key := f.key(store.KeyParams{User: "other", Scopes: scopes("read"), Paths: []string{"/api/v1"}})
		return f.tryUpdate(a, key, KeyPatch{Paths: scopes("/api")})
	},
	"pause key of another": func(f *fixture, a access.Actor) error {
		_, err := f.PauseKey(f.ctx(), a, KeyRef{ID: f.key(store.KeyParams{User: "other"}).ID})
		return err
	},
	"resume key of another": func(f *fixture, a access.Actor) error {
		key := f.key(store.KeyParams{User: "other"})
		if _, err := f.PauseKey(f.ctx(), f.admin, KeyRef{ID: key.ID}); err != nil {
			f.Fatal(err)
		}
		_, err := f.ResumeKey(f.ctx(), a, KeyRef{ID: key.ID})
		return err
	},
	"end grace of another": func(f *fixture, a access.Actor) error {
		key := f.key(store.KeyParams{User: "other"})
		if _, _, err := f.RotateKey(f.ctx(), f.admin, KeyRef{ID: key.ID}, time.Hour); err != nil {
			f.Fatal(err)
		}
		_, err := f.EndGrace(f.ctx(), a, KeyRef{ID: key.ID})
		return err
	},
	"delete key of another": func(f *fixture, a access.Actor) error {
		_, err := f.DeleteKey(f.ctx(), a, KeyRef{ID: f.key(store.KeyParams{User: "other"}).ID})
		return err
	},
	"revoke itself": func(f *fixture, a access.Actor) error {
		_, err := f.RevokeKey(f.ctx(), a, KeyRef{ID: a.Key(), Own: true})
		return err
	},
	"rotate itself": func(f *fixture, a access.Actor) error {
		_, _, err := f.RotateKey(f.ctx(), a, KeyRef{ID: a.Key(), Own: true}, 0)
		return err
	},
	"create user": func(f *fixture, a access.Actor) error {
		_, err := f.CreateUser(f.ctx(), a, UserInput{Name: "new", Scopes: []string{"write"}})
		return err
	},
	"create bounded user": func(f *fixture, a access.Actor) error {
		_, err := f.CreateUser(f.ctx(), a, UserInput{Name: "new", Scopes: []string{"read"}, Paths: []string{"/api/v1"}})
		return err
	},
	"create user without paths": func(f *fixture, a access.Actor) error {
		_, err := f.CreateUser(f.ctx(), a, UserInput{Name: "new", Scopes: []string{"read"}})
		return err
	},
	"create managing user": func(f *fixture, a access.Actor) error {
		_, err := f.CreateUser(f.ctx(), a, UserInput{Name: "new", Scopes: []string{access.ScopeUsers}, Paths: []string{"/api/v1"}})
		return err
	},
	"disable user": func(f *fixture, a access.Actor) error { return f.tryPatch(a, "other", UserPatch{Disabled: new(true)}) },
	"enable user":  func(f *fixture, a access.Actor) error { return f.tryPatch(a, "other", UserPatch{Disabled: new(false)}) },
	"widen user": func(f *fixture, a access.Actor) error {
		return f.tryPatch(a, "other", UserPatch{Scopes: scopes("read", "write")})
	},
	"narrow user": func(f *fixture, a access.Actor) error {
		return f.tryPatch(a, "other", UserPatch{Scopes: scopes("read"), Paths: scopes("/api/v1")})
	},
	"widen user within bounds": func(f *fixture, a access.Actor) error {
		f.user("bounded", nil, "/api/v1/a")
		return f.tryPatch(a, "bounded", UserPatch{Scopes: scopes("read"), Paths: scopes("/api/v1")})
	},
	"disable an admin": func(f *fixture, a access.Actor) error { return f.tryPatch(a, "root2", UserPatch{Disabled: new(true)}) },
	"revoke all of a user": func(f *fixture, a access.Actor) error {
		_, err := f.RevokeKeys(f.ctx(), a, Selection{User: "other"})
		return err
	},
	"revoke all of an admin": func(f *fixture, a access.Actor) error {
		_, err := f.RevokeKeys(f.ctx(), a, Selection{User: "root2"})
		return err
	},
	"set password": func(f *fixture, a access.Actor) error {
		return f.SetPassword(f.ctx(), a, UserRef{Name: "other"}, authz.NewSecret("correct horse"), false)
	},
	"delete user":  func(f *fixture, a access.Actor) error { return f.DeleteUser(f.ctx(), a, UserRef{Name: "other"}) },
	"set new user": func(f *fixture, a access.Actor) error { return f.trySet(a, "new", UserPatch{Scopes: scopes("write")}) },
	"set new bounded user": func(f *fixture, a access.Actor) error {
		return f.trySet(a, "new", UserPatch{Scopes: scopes("read"), Paths: scopes("/api/v1")})
	},
	"set user with a password": func(f *fixture, a access.Actor) error {
		password := authz.NewSecret("correct horse")
		_, err := f.SetUser(f.ctx(), a, UserRef{Name: "other"}, UserPatch{}, &password)
		return err
	},
	"set user disabled": func(f *fixture, a access.Actor) error { return f.trySet(a, "other", UserPatch{Disabled: new(true)}) },
	"set user wider": func(f *fixture, a access.Actor) error {
		return f.trySet(a, "other", UserPatch{Scopes: scopes("read", "write")})
	},
	"set an admin disabled": func(f *fixture, a access.Actor) error { return f.trySet(a, "root2", UserPatch{Disabled: new(true)}) },
	"import keys": func(f *fixture, a access.Actor) error {
		_, err := f.ImportKeys(f.ctx(), a, []store.ImportedKey{imported(1, store.KeyParams{User: "other"})})
		return err
	},
	"import users": func(f *fixture, a access.Actor) error {
		_, err := f.ImportUsers(f.ctx(), a, []store.ImportedUser{{Name: "other", Password: testHash}})
		return err
	},
	"revoke a token": func(f *fixture, a access.Actor) error {
		_, err := f.RevokeToken(f.ctx(), a, "t1")
		return err
	},
	"revoke tokens of a subject": func(f *fixture, a access.Actor) error {
		_, err := f.RevokeTokensOf(f.ctx(), a, "alice", f.now())
		return err
	},
	"revoke all tokens": func(f *fixture, a access.Actor) error {
		_, err := f.RevokeTokens(f.ctx(), a, f.now())
		return err
	},
	"create project": func(f *fixture, a access.Actor) error {
		_, err := f.CreateProject(f.ctx(), a, registry.ProjectInput{Name: "web"})
		return err
	},
	"update project": func(f *fixture, a access.Actor) error {
		f.project("web")
		_, err := f.UpdateProject(f.ctx(), a, registry.ProjectRef{Name: "web"}, registry.ProjectPatch{Members: scopes("plain")})
		return err
	},
	"delete project": func(f *fixture, a access.Actor) error {
		f.project("web", "plain", "ops")
		return f.DeleteProject(f.ctx(), a, registry.ProjectRef{Name: "web"})
	},
	"read project": func(f *fixture, a access.Actor) error {
		f.project("web", "plain", "ops")
		_, err := f.Project(f.ctx(), a, "web")
		return err
	},
	"read projects": func(f *fixture, a access.Actor) error {
		_, _, err := f.ListProjects(f.ctx(), a, store.ProjectFilter{}, store.Page{Limit: 1})
		return err
	},
	"create client": func(f *fixture, a access.Actor) error {
		_, _, err := f.CreateClient(f.ctx(), a, registry.ClientInput{Name: "Shop", Grants: []oauth.Grant{oauth.ClientCredentials}})
		return err
	},
	"update client": func(f *fixture, a access.Actor) error {
		return f.tryClient(a, registry.ClientPatch{Scopes: scopes("read", "write")})
	},
	"disable client": func(f *fixture, a access.Actor) error {
		return f.tryClient(a, registry.ClientPatch{Disabled: new(true)})
	},
	"rotate client": func(f *fixture, a access.Actor) error {
		client, _ := f.client("Shop")
		_, secret, err := f.RotateClient(f.ctx(), a, registry.ClientRef{ID: client.ID}, 0)
		if err != nil && !secret.Empty() {
			f.Error("refused, and shown a secret")
		}
		return err
	},
	"delete client": func(f *fixture, a access.Actor) error {
		client, _ := f.client("Shop")
		return f.DeleteClient(f.ctx(), a, registry.ClientRef{ID: client.ID})
	},
	"read client": func(f *fixture, a access.Actor) error {
		client, _ := f.client("Shop")
		_, err := f.Client(f.ctx(), a, client.ID)
		return err
	},
	"read clients": func(f *fixture, a access.Actor) error {
		_, _, err := f.ListClients(f.ctx(), a, store.ClientFilter{}, store.Page{Limit: 1})
		return err
	},
	"create own key as a member": func(f *fixture, a access.Actor) error {
		f.project("web", "plain", "ops")
		return f.tryCreate(a, store.KeyParams{User: a.User(), Project: "web", Scopes: scopes("read"), Paths: []string{"/api/v1"}})
	},
	"create own key, no member": func(f *fixture, a access.Actor) error {
		f.project("web", "other")
		return f.tryCreate(a, store.KeyParams{User: a.User(), Project: "web", Scopes: scopes("read"), Paths: []string{"/api/v1"}})
	},
	"create another's as a member": func(f *fixture, a access.Actor) error {
		f.project("web", "plain", "ops", "other")
		return f.tryCreate(a, store.KeyParams{User: "other", Project: "web", Scopes: scopes("read"), Paths: []string{"/api/v1"}})
	},
	"rotate own key, no member": func(f *fixture, a access.Actor) error {
		f.project("web", "other")
		key := f.key(store.KeyParams{User: a.User(), Project: "web", Scopes: scopes("read"), Paths: []string{"/api/v1"}})
		return f.tryRotate(a, key, true)
	},
	"read usage of own key": func(f *fixture, a access.Actor) error {
		_, err := f.KeyUsage(f.ctx(), a, f.ownKey(a).ID)
		return err
	},
	"read usage of another's key": func(f *fixture, a access.Actor) error {
		_, err := f.KeyUsage(f.ctx(), a, f.key(store.KeyParams{User: "other"}).ID)
		return err
	},
	"read audit log": func(f *fixture, a access.Actor) error {
		_, _, err := f.AuditLog(f.ctx(), a, store.AuditFilter{}, store.Page{Limit: 1})
		return err
	},
}

func (f *fixture) tryCreate(a access.Actor, p store.KeyParams) error {
	p.Name = "tried"
	_, _, err := f.CreateKey(f.ctx(), a, p)
	return err
}

// ownKey is another key of the actor's user.
func (f *fixture) ownKey(a access.Actor) store.KeyRecord {
	f.Helper()
	return f.key(store.KeyParams{User: a.User(), Scopes: scopes("read"), Paths: []string{"/api/v1"}})
}

func (f *fixture) tryRotate(a access.Actor, key store.KeyRecord, own bool) error {
	_, _, err := f.RotateKey(f.ctx(), a, KeyRef{ID: key.ID, Own: own}, 0)
	if now, getErr := f.Keys.Get(f.ctx(), key.ID); getErr != nil || err != nil && now.Hash != key.Hash {
		f.Errorf("refused, and changed: %v", getErr)
	}
	return err
}

func (f *fixture) tryUpdate(a access.Actor, key store.KeyRecord, patch KeyPatch) error {
	_, err := f.UpdateKey(f.ctx(), a, KeyRef{ID: key.ID}, patch)
	if now, getErr := f.Keys.Get(f.ctx(), key.ID); getErr != nil || (err != nil) != (now.Version() == key.Version()) {
		f.Errorf("%v, and %+v", err, now)
	}
	return err
}

func (f *fixture) tryRevoke(a access.Actor, key store.KeyRecord, own bool) error {
	_, err := f.RevokeKey(f.ctx(), a, KeyRef{ID: key.ID, Own: own})
	if now, getErr := f.Keys.Get(f.ctx(), key.ID); getErr != nil || now.Ended() != (err == nil) {
		f.Errorf("%v, and %+v", err, now)
	}
	return err
}

func (f *fixture) tryPatch(a access.Actor, name string, patch UserPatch) error {
	_, err := f.UpdateUser(f.ctx(), a, UserRef{Name: name}, patch)
	return err
}

// tryClient changes a client; one that is refused stays as it was.
func (f *fixture) tryClient(a access.Actor, patch registry.ClientPatch) error {
	f.Helper()
	client, _ := f.client("Shop")
	f.pass(time.Second)
	_, err := f.UpdateClient(f.ctx(), a, registry.ClientRef{ID: client.ID}, patch)
	if now, getErr := f.Client(f.ctx(), f.admin, client.ID); getErr != nil || (err == nil) == (now.Version() == client.Version()) {
		f.Errorf("%v, and %+v", err, now)
	}
	return err
}

// trySet sets a user; one that is refused stays as it was.
func (f *fixture) trySet(a access.Actor, name string, patch UserPatch) error {
	f.Helper()
	before, _ := f.Users.Get(f.ctx(), name)
	_, err := f.SetUser(f.ctx(), a, UserRef{Name: name}, patch, nil)
	if now, _ := f.Users.Get(f.ctx(), name); (err == nil) == (now.Version() == before.Version()) {
		f.Errorf("%v: %+v is %+v", err, before, now)
	}
	return err
}
