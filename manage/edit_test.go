package manage

import (
	"context"
	"testing"
	"time"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// lateEditor has something happen after a call was admitted and before it edits.
type lateEditor[R any] struct {
	store.Editor[R]
	before func()
}

func (e lateEditor[R]) Edit(ctx context.Context, edit func(store.Tx[R]) error) error {
	e.before()
	return e.Editor.Edit(ctx, edit)
}

// changesOfEach are one call per way to change records.
func (f *fixture) changesOfEach(key store.KeyRecord) map[string]func(a access.Actor) error {
	return map[string]func(a access.Actor) error{
		"a new key": func(a access.Actor) error {
			_, _, err := f.CreateKey(f.ctx(), a, store.KeyParams{Name: "new", User: "bob"})
			return err
		},
		"the end of a key": func(a access.Actor) error {
			_, err := f.RevokeKey(f.ctx(), a, KeyRef{ID: key.ID, IfMatch: store.AnyVersion})
			return err
		},
		"the end of keys": func(a access.Actor) error {
			_, err := f.RevokeKeys(f.ctx(), a, Selection{IDs: []string{key.ID}})
			return err
		},
		"a new user": func(a access.Actor) error {
			_, err := f.CreateUser(f.ctx(), a, UserInput{Name: "new"})
			return err
		},
		"a user's settings": func(a access.Actor) error {
			disabled := true
			_, err := f.UpdateUser(f.ctx(), a, UserRef{Name: "bob", IfMatch: store.AnyVersion}, UserPatch{Disabled: &disabled})
			return err
		},
		"a revocation": func(a access.Actor) error { _, err := f.RevokeToken(f.ctx(), a, "j1"); return err },
		"an import": func(a access.Actor) error {
			_, err := f.ImportUsers(f.ctx(), a, []store.ImportedUser{{Name: "new", Password: testHash, Line: 1}})
			return err
		},
	}
}

// TestActorThatEndsMeanwhile: an actor whose key or user ends, or is given other
// permissions, after its call was admitted changes nothing, and the refusal is recorded.
func TestActorThatEndsMeanwhile(t *testing.T) {
	meanwhile := map[string]func(f *fixture, actor store.KeyRecord){
		"its key is revoked": func(f *fixture, actor store.KeyRecord) {
			_, err := f.RevokeKey(f.ctx(), f.admin, KeyRef{ID: actor.ID, IfMatch: store.AnyVersion})
			f.wantCode("revoking", err, "")
		},
		"its key is deleted": func(f *fixture, actor store.KeyRecord) {
			_, err := f.DeleteKey(f.ctx(), f.admin, KeyRef{ID: actor.ID, IfMatch: store.AnyVersion})
			f.wantCode("deleting", err, "")
		},
		"its key may do less": func(f *fixture, actor store.KeyRecord) {
			less := scopes(access.ScopeRead)
			_, err := f.UpdateKey(f.ctx(), f.admin, KeyRef{ID: actor.ID, IfMatch: store.AnyVersion}, KeyPatch{Scopes: &less})
			f.wantCode("updating", err, "")
		},
		"its key has fewer paths": func(f *fixture, actor store.KeyRecord) {
			_, err := f.UpdateKey(f.ctx(), f.admin, KeyRef{ID: actor.ID, IfMatch: store.AnyVersion}, KeyPatch{Paths: &[]string{"/a"}})
			f.wantCode("updating", err, "")
		},
		"its user is disabled": func(f *fixture, _ store.KeyRecord) {
			disabled := true
			_, err := f.UpdateUser(f.ctx(), f.admin, UserRef{Name: "alice", IfMatch: store.AnyVersion}, UserPatch{Disabled: &disabled})
			f.wantCode("disabling", err, "")
		},
		"its user is ended": func(f *fixture, _ store.KeyRecord) {
			_, err := f.EndUser(f.ctx(), f.admin, UserRef{Name: "alice", IfMatch: store.AnyVersion})
			f.wantCode("ending", err, "")
		},
		"its user loses a scope": func(f *fixture, _ store.KeyRecord) {
			_, err := f.UpdateUser(f.ctx(), f.admin, UserRef{Name: "alice", IfMatch: store.AnyVersion}, UserPatch{Scopes: scopes(access.ScopeKeys)})
			f.wantCode("updating", err, "")
		},
	}
	for what, happens := range meanwhile {
		for name := range (&fixture{}).changesOfEach(store.KeyRecord{}) {
			t.Run(what+"/"+name, func(t *testing.T) {
				f, own, other := fixtureWithActor(t)
				f.wantCode("before", f.changesOfEach(other)[name](f.actorOf(own)), "")
				f, own, other = fixtureWithActor(t)
				actor := f.actorOf(own)
				f.meanwhile(func() { happens(f, own) })
				f.wantCode("after", f.changesOfEach(other)[name](actor), fault.Forbidden)
				entries := f.entries()
				if last := entries[len(entries)-1]; last.Outcome != audit.Refused || last.ActorKey != own.ID {
					t.Errorf("the last entry is %+v", last)
				}
			})
		}
	}
}

// fixtureWithActor has an administrator's key, and the key of another user.
func fixtureWithActor(t *testing.T) (f *fixture, own, other store.KeyRecord) {
	f = newFixture(t)
	f.user("root", []string{access.ScopeAdmin})
	f.user("alice", []string{access.ScopeAdmin})
	f.user("bob", nil)
	own, other = f.key(store.KeyParams{User: "alice", Scopes: scopes(access.ScopeAdmin)}), f.key(store.KeyParams{User: "bob"})
	f.pass(time.Second)
	return f, own, other
}

// TestSessionThatEndsMeanwhile: the same for the user of a session, which keeps the
// roles that it was granted.
func TestSessionThatEndsMeanwhile(t *testing.T) {
	f := newFixture(t)
	f.user("alice", nil)
	session := f.bySession("alice", access.ScopeUsers)
	_, err := f.CreateUser(f.ctx(), session, UserInput{Name: "one"})
	f.wantCode("a session with a granted role", err, "")
	f.meanwhile(func() {
		f.wantCode("deleting", f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "alice", IfMatch: store.AnyVersion}), "")
	})
	_, err = f.CreateUser(f.ctx(), session, UserInput{Name: "two"})
	f.wantCode("a session whose user is deleted", err, fault.Forbidden)
}

// meanwhile has something happen once, before the next edit.
func (f *fixture) meanwhile(happens func()) {
	keys, users, revocations := f.KeyEditor, f.UserEditor, f.RevocationEditor
	before := func() {
		f.KeyEditor, f.UserEditor, f.RevocationEditor = keys, users, revocations
		happens()
	}
	f.KeyEditor, f.UserEditor = lateEditor[store.KeyRecord]{keys, before}, lateEditor[store.UserRecord]{users, before}
	f.RevocationEditor = lateEditor[store.Revocation]{revocations, before}
}

// TestChangesAreCounted: each record that a call changed is counted once, and none of a
// call that failed.
func TestChangesAreCounted(t *testing.T) {
	f := newFixture(t)
	made := map[audit.Action]int{}
	f.Changed = func(action audit.Action) { made[action]++ }
	one, two := f.key(store.KeyParams{}), f.key(store.KeyParams{})
	for range 2 { // the second call changes nothing
		_, err := f.RevokeKeys(f.ctx(), f.admin, Selection{IDs: []string{one.ID, two.ID}})
		f.wantCode("revoking", err, "")
	}
	_, err := f.RevokeKey(f.ctx(), f.admin, KeyRef{ID: "k_aaaaaaaaaaaa", IfMatch: store.AnyVersion})
	f.wantCode("no such key", err, fault.NotFound)
	if made[audit.KeyCreate] != 2 || made[audit.KeyRevoke] != 2 || len(made) != 2 {
		t.Errorf("%v", made)
	}
}

// TestEndsSayWho: the record of a user that was disabled, ended or deleted and that of a
// revocation say by whom, as the audit log may not be writable then.
func TestEndsSayWho(t *testing.T) {
	for what, end := range map[string]func(f *fixture, a access.Actor, ref UserRef) error{
		"disabled": func(f *fixture, a access.Actor, ref UserRef) error {
			_, err := f.UpdateUser(f.ctx(), a, ref, UserPatch{Disabled: new(true)})
			return err
		},
		"disabled and changed": func(f *fixture, a access.Actor, ref UserRef) error {
			_, err := f.UpdateUser(f.ctx(), a, ref, UserPatch{Disabled: new(true), Scopes: &[]string{}})
			return err
		},
		"all ended": func(f *fixture, a access.Actor, ref UserRef) error {
			_, err := f.RevokeKeys(f.ctx(), a, Selection{User: ref.Name})
			return err
		},
		"deleted": func(f *fixture, a access.Actor, ref UserRef) error { return f.DeleteUser(f.ctx(), a, ref) },
	} {
		f := newFixture(t)
		f.user("ops", []string{access.ScopeAdmin})
		f.user("bob", nil)
		a := f.byKey("ops", scopes(access.ScopeAdmin))
		f.wantCode(what, end(f, a, UserRef{Name: "bob", IfMatch: store.AnyVersion}), "")
		if r := f.lastUser(); r.Name != "bob" || r.Ending == nil || r.Ending.By != "ops" || r.Ending.Via != a.Via() {
			t.Errorf("%s: %+v", what, r)
		}
	}
	f := newFixture(t)
	f.user("bob", nil)
	for _, disabled := range []bool{true, false} {
		r, err := f.UpdateUser(f.ctx(), f.admin, UserRef{Name: "bob", IfMatch: store.AnyVersion}, UserPatch{Disabled: &disabled})
		if f.wantCode("disabled", err, ""); (r.Ending != nil) != disabled {
			t.Errorf("disabled %v: %+v", disabled, r.Ending)
		}
	}
	r, err := f.RevokeToken(f.ctx(), f.admin, "j1")
	if f.wantCode("revocation", err, ""); r.By != f.admin.Name() || r.Via != audit.ViaCLI {
		t.Errorf("%+v", r)
	}
}

// TestBulkRevocationSaysWho: the record of a key that was revoked with others says by
// whom, as the audit log may not be writable then.
func TestBulkRevocationSaysWho(t *testing.T) {
	f := newFixture(t)
	f.user("ops", []string{access.ScopeKeys})
	a := f.byKey("ops", scopes(access.ScopeKeys))
	f.project("shop")
	one, two := f.key(store.KeyParams{}), f.key(store.KeyParams{Project: "shop"})
	for id, which := range map[string]Selection{one.ID: {IDs: []string{one.ID}}, two.ID: {Project: "shop"}} {
		_, err := f.RevokeKeys(f.ctx(), a, which)
		f.wantCode("revoke", err, "")
		if now, err := f.Keys.Get(f.ctx(), id); err != nil || now.Ending == nil || now.Ending.By != "ops" || now.Ending.Via != a.Via() {
			t.Errorf("%+v: %+v, %v", which, now.Ending, err)
		}
	}
}
