package manage

import (
	"net/netip"
	"testing"
	"time"

	"keyward/authz"
	"keyward/store"
)

// TestBounds has one actor for each way of being bounded, and what it may not hand
// out. Each line is one member of the key that says more than the actor has.
func TestBounds(t *testing.T) {
	end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	user := store.UserRecord{Name: "ops", Scopes: []string{ScopeKeys, "read", "write"}}
	bounded := store.UserRecord{Name: "ops", Scopes: []string{ScopeKeys, "read"}, Paths: []string{"/api"}}
	own := func(k store.KeyRecord) store.KeyRecord {
		k.User, k.Created = "ops", end.Add(-time.Hour)
		return k
	}
	list := scopes(ScopeKeys, "read")
	read := scopes("read")
	for _, c := range []struct {
		what   string
		user   store.UserRecord
		actor  store.KeyRecord
		key    store.KeyRecord
		member string // by which the key is beyond the actor
	}{
		{"the user's scopes, of a key that has them too", user, store.KeyRecord{}, store.KeyRecord{User: "ops"}, ""},
		{"the user's scopes, of a key with fewer", user, store.KeyRecord{Scopes: list}, store.KeyRecord{User: "ops"}, "scopes"},
		{"another user's scopes", user, store.KeyRecord{}, store.KeyRecord{User: "other"}, "scopes"},
		{"no user and no list of scopes", user, store.KeyRecord{}, store.KeyRecord{}, "scopes"},
		{"fewer scopes", user, store.KeyRecord{Scopes: list}, store.KeyRecord{User: "other", Scopes: read}, ""},
		{"no scopes", user, store.KeyRecord{Scopes: list}, store.KeyRecord{User: "other", Scopes: scopes()}, ""},
		{"one more scope", user, store.KeyRecord{Scopes: list}, store.KeyRecord{User: "ops", Scopes: scopes("read", "write")}, "scopes"},
		{"a managing scope that the actor has", user, store.KeyRecord{Scopes: list}, store.KeyRecord{User: "ops", Scopes: list}, "scopes"},
		{"a managing scope that is not known", user, store.KeyRecord{}, store.KeyRecord{User: "ops", Scopes: scopes("keyward:owner")}, "scopes"},

		{"the user's paths, of a key without its own", bounded, store.KeyRecord{}, store.KeyRecord{User: "ops"}, ""},
		{"the user's paths, of a key with its own", bounded, store.KeyRecord{Paths: []string{"/api/v1"}}, store.KeyRecord{User: "ops"}, "paths"},
		{"another user's paths", bounded, store.KeyRecord{}, store.KeyRecord{User: "other", Scopes: read}, "paths"},
		{"another user's paths, of an actor without bounds", user, store.KeyRecord{}, store.KeyRecord{User: "other", Scopes: read}, ""},
		{"a path below", bounded, store.KeyRecord{Paths: []string{"/api/v1"}}, store.KeyRecord{User: "ops", Paths: []string{"/api/v1/x"}}, ""},
		{"a path beside", bounded, store.KeyRecord{Paths: []string{"/api/v1"}}, store.KeyRecord{User: "ops", Paths: []string{"/api/v1/x", "/api/v2"}}, "paths"},
		{"a path of the key's that the user may not use", bounded, store.KeyRecord{Paths: []string{"/"}}, store.KeyRecord{User: "ops", Paths: []string{"/admin"}}, "paths"},
		{"a path that cannot be one", bounded, store.KeyRecord{}, store.KeyRecord{User: "ops", Paths: []string{"/api/../admin"}}, "paths"},

		{"the actor's project", user, store.KeyRecord{Project: "p"}, store.KeyRecord{User: "ops", Project: "p"}, ""},
		{"no project", user, store.KeyRecord{Project: "p"}, store.KeyRecord{User: "ops"}, ""},
		{"another project", user, store.KeyRecord{Project: "p"}, store.KeyRecord{User: "ops", Project: "q"}, "project"},
		{"a project, of an actor without one", user, store.KeyRecord{}, store.KeyRecord{User: "ops", Project: "q"}, "project"},

		{"the same end", user, store.KeyRecord{Expires: end}, store.KeyRecord{User: "ops", Expires: end}, ""},
		{"a later end", user, store.KeyRecord{Expires: end}, store.KeyRecord{User: "ops", Expires: end.Add(1)}, "expires"},
		{"no end", user, store.KeyRecord{Expires: end}, store.KeyRecord{User: "ops"}, "expires"},

		{"the actor's network", user, store.KeyRecord{CIDRs: networks("192.0.2.0/24")}, store.KeyRecord{User: "ops", CIDRs: networks("192.0.2.0/24")}, ""},
		{"a part of it", user, store.KeyRecord{CIDRs: networks("192.0.2.0/24", "2001:db8::/32")}, store.KeyRecord{User: "ops", CIDRs: networks("192.0.2.128/25", "2001:db8::1/128")}, ""},
		{"a wider network", user, store.KeyRecord{CIDRs: networks("192.0.2.0/24")}, store.KeyRecord{User: "ops", CIDRs: networks("192.0.0.0/16")}, "cidrs"},
		{"another network", user, store.KeyRecord{CIDRs: networks("192.0.2.0/24")}, store.KeyRecord{User: "ops", CIDRs: networks("192.0.2.0/25", "198.51.100.0/24")}, "cidrs"},
		{"any network", user, store.KeyRecord{CIDRs: networks("192.0.2.0/24")}, store.KeyRecord{User: "ops"}, "cidrs"},

		{"the actor's rate", user, store.KeyRecord{Rate: "10/h"}, store.KeyRecord{User: "ops", Rate: "10/h"}, ""},
		{"a higher rate", user, store.KeyRecord{Rate: "10/h"}, store.KeyRecord{User: "ops", Rate: "11/h"}, "rate"},
		{"the usual rate, of an actor with a lower one", user, store.KeyRecord{Rate: "10/h"}, store.KeyRecord{User: "ops"}, "rate"},
		{"the usual rate", user, store.KeyRecord{}, store.KeyRecord{User: "ops"}, ""},
		{"a higher one than the usual rate", user, store.KeyRecord{}, store.KeyRecord{User: "ops", Rate: "1001/h"}, "rate"},
		{"a rate that cannot be one", user, store.KeyRecord{}, store.KeyRecord{User: "ops", Rate: "fast"}, "rate"},
	} {
		key := own(c.actor)
		a := KeyActor(&key, &c.user, end.Add(-time.Minute), testCall)
		if a.name == "" {
			t.Fatal(c.what)
		}
		if got := a.reach.beyond(&c.key, authz.Rate{Count: 1000, Period: time.Hour}, false); got != c.member {
			t.Errorf("%s: beyond by %q, want %q", c.what, got, c.member)
		}
	}
}

func networks(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// TestZeroActor may do nothing, and leaves nothing in the log.
func TestZeroActor(t *testing.T) {
	f := newFixture(t)
	f.user("root2", nil)
	f.user("other", nil)
	before := len(f.entries())
	for request, try := range requests {
		if request == "rotate own key" || request == "revoke own key" || request == "revoke itself" {
			continue // of no user
		}
		if code := CodeOf(try(f, Actor{})); code != Forbidden {
			t.Errorf("%s: %q", request, code)
		}
	}
	for _, e := range f.entries()[before:] {
		if e.Outcome == "refused" {
			t.Errorf("%+v", e)
		}
	}
}

// TestLastAdministrator: the last enabled administrator cannot be disabled, stripped
// or deleted, not even by itself.
func TestLastAdministrator(t *testing.T) {
	f := newFixture(t)
	f.user("root", []string{ScopeAdmin})
	f.user("second", []string{ScopeAdmin})
	f.wantCode("one of two", f.tryPatch(f.admin, "second", UserPatch{Disabled: new(true)}), "")
	for what, err := range map[string]error{
		"disable": f.tryPatch(f.bySession("root"), "root", UserPatch{Disabled: new(true)}),
		"strip":   f.tryPatch(f.admin, "root", UserPatch{Scopes: scopes("read")}),
		"delete":  f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "root"}),
	} {
		f.wantCode(what, err, Conflict)
	}
	f.wantCode("another change", f.tryPatch(f.admin, "root", UserPatch{Paths: scopes("/api")}), "")
	f.wantCode("one that is disabled", f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "second"}), "")
}

// TestManagingKeyNeedsUser: a managing scope counts only with a user, whose roles
// bound it.
func TestManagingKeyNeedsUser(t *testing.T) {
	f := newFixture(t)
	f.wantCode("without a user", f.tryCreate(f.admin, store.KeyParams{Scopes: scopes(ScopeAdmin)}), Invalid)
	f.user("root", []string{ScopeAdmin})
	f.user("second", []string{ScopeAdmin})
	key := f.key(store.KeyParams{User: "root", Scopes: scopes(ScopeAdmin)})
	f.wantCode("while the user has the scope", f.tryCreate(f.actorOf(key), store.KeyParams{User: "second"}), "")
	f.wantCode("", f.tryPatch(f.admin, "root", UserPatch{Scopes: scopes(ScopeUsers)}), "")
	f.wantCode("after it was taken from the user", f.tryCreate(f.actorOf(key), store.KeyParams{User: "second"}), Forbidden)
	// What a user has by its record, a key does not inherit.
	f.wantCode("by a key with its user's scopes", f.tryPatch(f.byKey("root", nil), "second", UserPatch{Disabled: new(true)}), Forbidden)
}

// TestInvalidKeys: all that is wrong is said at once, by member and without values.
func TestInvalidKeys(t *testing.T) {
	f := newFixture(t)
	err := f.tryCreateNamed(store.KeyParams{Rate: "fast", Expires: f.now(), Scopes: scopes("keyward:owner"), User: "bob"})
	f.wantCode("", err, Invalid)
	want := map[string]bool{"/name": true, "/rate": true, "/expires": true, "/scopes": true}
	for _, field := range err.(*Error).Fields {
		delete(want, field.Pointer)
	}
	if len(want) > 0 {
		t.Errorf("%v does not say %v", err, want)
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
		f.wantCode("", f.tryPatch(plain, "other", UserPatch{Disabled: new(true)}), Forbidden)
	}
	if n := len(f.entries()) - before; n != refusalsPerMinute {
		t.Errorf("%d entries", n)
	}
	f.pass(time.Minute)
	f.wantCode("", f.tryPatch(plain, "other", UserPatch{Disabled: new(true)}), Forbidden)
	if n := len(f.entries()) - before; n != refusalsPerMinute+1 {
		t.Errorf("%d entries after a minute", n)
	}
}

// TestDeletedUser: a user's keys end with it, and are not those of the next user of
// that name.
func TestDeletedUser(t *testing.T) {
	f := newFixture(t)
	f.user("bob", nil)
	key := f.key(store.KeyParams{User: "bob", Scopes: scopes(ScopeSelf)})
	f.pass(time.Second)
	f.wantCode("", f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "bob"}), "")
	f.pass(time.Second)
	if a := f.actorOf(key); a.name != "" {
		t.Errorf("a key of a deleted user is %q", a.name)
	}
	f.user("bob", nil)
	if a := f.actorOf(key); a.name != "" {
		t.Errorf("a key of the deleted user is the next one's: %q", a.name)
	}
	f.wantCode("the same name twice", asError(func() error {
		_, err := f.CreateUser(f.ctx(), f.admin, UserInput{Name: "bob"})
		return err
	}()), Conflict)
}

// TestVersions: a change of another version than the caller has seen is refused.
func TestVersions(t *testing.T) {
	f := newFixture(t)
	key := f.key(store.KeyParams{})
	_, _, err := f.RotateKey(f.ctx(), f.admin, KeyRef{ID: key.ID, IfMatch: "another"}, 0)
	f.wantCode("another version", err, Changed)
	rotated, _, err := f.RotateKey(f.ctx(), f.admin, KeyRef{ID: key.ID, IfMatch: key.Version()}, 0)
	f.wantCode("the version", err, "")
	_, err = f.RevokeKey(f.ctx(), f.admin, KeyRef{ID: key.ID, IfMatch: key.Version()})
	f.wantCode("the version before", err, Changed)
	_, err = f.RevokeKey(f.ctx(), f.admin, KeyRef{ID: key.ID, IfMatch: rotated.Version()})
	f.wantCode("the version", err, "")
	_, _, err = f.RotateKey(f.ctx(), f.admin, KeyRef{ID: key.ID}, 0)
	f.wantCode("one that has ended", err, Ended)
	_, err = f.RevokeKey(f.ctx(), f.admin, KeyRef{ID: "k_000000000000"})
	f.wantCode("no key", err, NotFound)
}
