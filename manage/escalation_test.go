package manage

import (
	"strings"
	"testing"
	"time"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
)

// TestZeroActor may do nothing, and leaves nothing in the log.
func TestZeroActor(t *testing.T) {
	for request, try := range requests {
		if request == "rotate own key" || request == "revoke own key" || request == "revoke itself" {
			continue // of no user
		}
		f := newFixture(t)
		f.actor("admin") // and the users that requests are about
		if code := fault.CodeOf(try(f, access.Actor{})); code != fault.Forbidden {
			t.Errorf("%s: %q", request, code)
		}
		for _, e := range f.entries() {
			if e.Outcome == "refused" {
				t.Errorf("%s: %+v", request, e)
			}
		}
	}
}

// TestLastAdministrator: the last enabled administrator cannot be disabled, stripped
// or deleted, not even by itself.
func TestLastAdministrator(t *testing.T) {
	f := newFixture(t)
	f.user("root", []string{access.ScopeAdmin})
	f.user("second", []string{access.ScopeAdmin})
	f.wantCode("one of two", f.tryPatch(f.admin, "second", UserPatch{Disabled: new(true)}), "")
	for what, err := range map[string]error{
		"disable": f.tryPatch(f.bySession("root"), "root", UserPatch{Disabled: new(true)}),
		"strip":   f.tryPatch(f.admin, "root", UserPatch{Scopes: scopes("read")}),
		"delete":  f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "root"}),
	} {
		f.wantCode(what, err, fault.Conflict)
	}
	f.wantCode("another change", f.tryPatch(f.admin, "root", UserPatch{Paths: scopes("/api")}), "")
	f.wantCode("one that is disabled", f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "second"}), "")
}

// TestManagingKeyNeedsUser: a managing scope counts only with a user, whose roles
// bound it.
func TestManagingKeyNeedsUser(t *testing.T) {
	f := newFixture(t)
	f.wantCode("without a user", f.tryCreate(f.admin, store.KeyParams{Scopes: scopes(access.ScopeAdmin)}), fault.Invalid)
	f.user("root", []string{access.ScopeAdmin})
	f.user("second", []string{access.ScopeAdmin})
	key := f.key(store.KeyParams{User: "root", Scopes: scopes(access.ScopeAdmin)})
	f.wantCode("while the user has the scope", f.tryCreate(f.actorOf(key), store.KeyParams{User: "second"}), "")
	f.wantCode("", f.tryPatch(f.admin, "root", UserPatch{Scopes: scopes(access.ScopeUsers)}), "")
	f.wantCode("after it was taken from the user", f.tryCreate(f.actorOf(key), store.KeyParams{User: "second"}), fault.Forbidden)
	// What a user has by its record, a key does not inherit.
	f.wantCode("by a key with its user's scopes", f.tryPatch(f.byKey("root", nil), "second", UserPatch{Disabled: new(true)}), fault.Forbidden)
}

// TestInvalidKeys: all that is wrong is said at once, by member and without values.
func TestInvalidKeys(t *testing.T) {
	f := newFixture(t)
	err := f.tryCreateNamed(store.KeyParams{Rate: "fast", Expires: f.now(), Scopes: scopes("read", "keyward:owner", "a b"), Paths: []string{"/a", "/b/../c?"}, User: "bob"})
	f.wantCode("", err, fault.Invalid)
	want := map[string]bool{"/name": true, "/rate": true, "/expires": true, "/scopes/1": true, "/scopes/2": true, "/paths/1": true}
	for _, field := range err.(*fault.Error).Fields {
		delete(want, field.Pointer)
	}
	if len(want) > 0 {
		t.Errorf("%v does not say %v", err, want)
	}
	for _, value := range []string{"fast", "keyward:owner", "a b", "../"} {
		if strings.Contains(err.Error(), value) {
			t.Errorf("%v repeats %q", err, value)
		}
	}
}

func (f *fixture) tryCreateNamed(p store.KeyParams) error {
	_, _, err := f.CreateKey(f.ctx(), f.admin, p)
	return err
}

// TestRefusalsAreBounded: an actor who is refused leaves ten entries a minute.
func TestRefusalsAreBounded(t *testing.T) {
	f := newFixture(t)
	f.user("plain", nil)
	f.user("other", nil)
	plain := f.byKey("plain", nil)
	before := len(f.entries())
	for range 25 {
		f.wantCode("", f.tryPatch(plain, "other", UserPatch{Disabled: new(true)}), fault.Forbidden)
	}
	if n := len(f.entries()) - before; n != 10 {
		t.Errorf("%d entries", n)
	}
	f.pass(time.Minute)
	f.wantCode("", f.tryPatch(plain, "other", UserPatch{Disabled: new(true)}), fault.Forbidden)
	if n := len(f.entries()) - before; n != 11 {
		t.Errorf("%d entries after a minute", n)
	}
}

// TestDeletedUser: a user's keys end with it, and are not those of the next user of
// that name.
func TestDeletedUser(t *testing.T) {
	f := newFixture(t)
	f.user("bob", nil)
	key := f.key(store.KeyParams{User: "bob", Scopes: scopes(access.ScopeSelf)})
	f.pass(time.Second)
	f.wantCode("", f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "bob"}), "")
	f.pass(time.Second)
	if a := f.actorOf(key); a.Known() {
		t.Errorf("a key of a deleted user is %q", a.Name())
	}
	f.user("bob", nil)
	if a := f.actorOf(key); a.Known() {
		t.Errorf("a key of the deleted user is the next one's: %q", a.Name())
	}
	f.wantCode("the same name twice", fault.Of(func() error {
		_, err := f.CreateUser(f.ctx(), f.admin, UserInput{Name: "bob"})
		return err
	}()), fault.Conflict)
}

// TestVersions: a change of another version than the caller has seen is refused.
func TestVersions(t *testing.T) {
	f := newFixture(t)
	key := f.key(store.KeyParams{})
	_, _, err := f.RotateKey(f.ctx(), f.admin, KeyRef{ID: key.ID, IfMatch: "another"}, 0)
	f.wantCode("another version", err, fault.Changed)
	rotated, _, err := f.RotateKey(f.ctx(), f.admin, KeyRef{ID: key.ID, IfMatch: key.Version()}, 0)
	f.wantCode("the version", err, "")
	_, err = f.RevokeKey(f.ctx(), f.admin, KeyRef{ID: key.ID, IfMatch: key.Version()})
	f.wantCode("the version before", err, fault.Changed)
	_, err = f.RevokeKey(f.ctx(), f.admin, KeyRef{ID: key.ID, IfMatch: rotated.Version()})
	f.wantCode("the version", err, "")
	_, _, err = f.RotateKey(f.ctx(), f.admin, KeyRef{ID: key.ID}, 0)
	f.wantCode("one that has ended", err, fault.Ended)
	_, err = f.RevokeKey(f.ctx(), f.admin, KeyRef{ID: "k_000000000000"})
	f.wantCode("no key", err, fault.NotFound)
}
