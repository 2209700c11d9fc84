package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"keyward/authz"
	"keyward/internal/records"
	"keyward/store"
)

func (f *fixture) set(name string, patch records.UserPatch) store.UserRecord {
	f.Helper()
	r, err := f.Users.Set(f.ctx(), name, store.AnyVersion, patch)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

func testSetUser(f *fixture) {
	yes, password := true, authz.NewSecret("correct horse")
	made := f.set("alice", records.UserPatch{Scopes: &[]string{"read"}, Paths: &[]string{"/a"}, Password: &password})
	if made.Name != "alice" || made.Disabled || !made.Created.Equal(f.now()) || !made.At.Equal(f.now()) || !made.ValidSince.IsZero() {
		f.Errorf("%+v", made)
	}
	at := f.pass(time.Minute)
	disabled := f.set("alice", records.UserPatch{Disabled: &yes})
	if !disabled.Disabled || disabled.Paths[0] != "/a" || disabled.Scopes[0] != "read" || !disabled.Created.Equal(made.Created) || !disabled.At.Equal(at) {
		f.Errorf("more changed than was given: %+v", disabled)
	}
	if r := f.set("alice", records.UserPatch{Scopes: &[]string{}, Paths: &[]string{}}); len(r.Scopes)+len(r.Paths) != 0 || !r.Disabled {
		f.Errorf("%+v", r)
	}
	got, err := f.Users.Get(f.ctx(), "alice")
	if err != nil || got.Name != "alice" || !got.Disabled || got.Password != "" {
		f.Errorf("%+v, %v", got, err)
	}
	if _, err := f.Users.Get(f.ctx(), "bob"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("a user who is not there: %v", err)
	}
	for _, text := range []string{"", strings.Repeat("x", 73)} {
		password := authz.NewSecret(text)
		if _, err := f.Users.Set(f.ctx(), "alice", store.AnyVersion, records.UserPatch{Password: &password}); !errors.Is(err, store.ErrInvalid) {
			f.Errorf("a password of %d bytes: %v", len(text), err)
		}
	}
}

func testUserNames(f *fixture) {
	f.set("first", records.UserPatch{})
	for _, name := range []string{"", "k_8ENbdXlcXqgH", "c_x", "ali\u200bce", "cafe\u0301", "a\nb", " a", "\xff", strings.Repeat("x", 256)} {
		if r, err := f.Users.Set(f.ctx(), name, store.AnyVersion, records.UserPatch{}); !errors.Is(err, store.ErrInvalid) {
			f.Errorf("%+q: %+v, %v", name, r, err)
		}
	}
	f.wantNames("after refusals", store.UserFilter{}, store.Page{}, "first")
}

func testDeleteUser(f *fixture) {
	if err := f.Users.Delete(f.ctx(), "alice", store.AnyVersion, time.Time{}); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("a user who is not there: %v", err)
	}
	f.set("alice", records.UserPatch{Scopes: &[]string{"read"}})
	ended := f.pass(time.Minute)
	if err := f.Users.Delete(f.ctx(), "alice", store.AnyVersion, time.Time{}); err != nil {
		f.Fatal(err)
	}
	if _, err := f.Users.Get(f.ctx(), "alice"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("a deleted user: %v", err)
	}
	if err := f.Users.Delete(f.ctx(), "alice", store.AnyVersion, time.Time{}); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("deleted twice: %v", err)
	}
	f.pass(time.Minute)
	again := f.set("alice", records.UserPatch{})
	if len(again.Scopes) > 0 || !again.ValidSince.Equal(ended) {
		f.Errorf("made again: %+v", again)
	}
	all, err := f.Users.Ended(f.ctx())
	if err != nil || len(all) != 1 || all.Of("alice", ended).IsZero() || !all.Of("alice", ended.Add(time.Microsecond)).IsZero() {
		f.Errorf("%v, %v", all, err)
	}
	// A key may have been made by a clock that is ahead of this one.
	ahead := f.now().Add(time.Hour)
	if err := f.Users.Delete(f.ctx(), "alice", store.AnyVersion, ahead); err != nil {
		f.Fatal(err)
	}
	if all, err := f.Users.Ended(f.ctx()); err != nil || !all["alice"].Equal(ahead) {
		f.Errorf("%v, %v; want %v", all, err, ahead)
	}
	// And a clock that goes back must not leave out what the user had.
	f.pass(-time.Hour)
	if r := f.set("alice", records.UserPatch{}); !r.ValidSince.Equal(ahead) {
		f.Errorf("%+v", r)
	}
}

func testImportUsers(f *fixture) {
	const hash = "$2y$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
	f.set("alice", records.UserPatch{Scopes: &[]string{"read"}})
	f.pass(time.Second)
	got, err := f.Users.Import(f.ctx(), []store.ImportedUser{{Line: 1, Name: "bob", Password: hash}, {Line: 2, Name: "alice", Password: hash}})
	if err != nil || len(got) != 2 || got[0].Name != "bob" || got[0].Password != "" || got[1].Scopes[0] != "read" {
		f.Errorf("%+v, %v", got, err)
	}
	f.wantNames("both", store.UserFilter{}, store.Page{}, "alice", "bob")
	_, err = f.Users.Import(f.ctx(), []store.ImportedUser{{Line: 1, Name: "carol", Password: hash}, {Line: 4, Name: "k_1", Password: hash}})
	if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "line 4") {
		f.Errorf("a name like that of a key: %v", err)
	}
	f.wantNames("all or none", store.UserFilter{}, store.Page{}, "alice", "bob")
}

func testUserVersions(f *fixture) {
	made := f.set("alice", records.UserPatch{})
	f.pass(time.Second)
	password := authz.NewSecret("correct horse")
	changed, err := f.Users.Set(f.ctx(), "alice", made.Version(), records.UserPatch{Password: &password})
	if err != nil || changed.Version() == made.Version() {
		f.Fatalf("%q, then %q, %v", made.Version(), changed.Version(), err)
	}
	if _, err := f.Users.Set(f.ctx(), "alice", made.Version(), records.UserPatch{}); !errors.Is(err, store.ErrChanged) {
		f.Errorf("set of an earlier version: %v", err)
	}
	if err := f.Users.Delete(f.ctx(), "alice", made.Version(), time.Time{}); !errors.Is(err, store.ErrChanged) {
		f.Errorf("delete of an earlier version: %v", err)
	}
	got, err := f.Users.Get(f.ctx(), "alice")
	if err != nil || got.Version() != changed.Version() {
		f.Errorf("%q read, %q written, %v", got.Version(), changed.Version(), err)
	}
	if _, err := f.Users.Set(f.ctx(), "bob", got.Version(), records.UserPatch{}); !errors.Is(err, store.ErrChanged) {
		f.Errorf("a user who is not there has a version: %v", err)
	}
	if err := f.Users.Delete(f.ctx(), "alice", got.Version(), time.Time{}); err != nil {
		f.Errorf("delete of the last version: %v", err)
	}
}

func (f *fixture) wantNames(what string, filter store.UserFilter, page store.Page, names ...string) store.Cursor {
	f.Helper()
	all, next, err := f.Users.List(f.ctx(), filter, page)
	if err != nil {
		f.Fatalf("%s: %v", what, err)
	}
	var got []string
	for i := range all {
		got = append(got, all[i].Name)
		if all[i].Password != "" {
			f.Errorf("%s: the password hash of %s", what, all[i].Name)
		}
	}
	if !slices.Equal(got, names) {
		f.Errorf("%s: %q, want %q", what, got, names)
	}
	return next
}

func testListUsers(f *fixture) {
	password := authz.NewSecret("correct horse")
	for _, name := range []string{"carol", "alice", "bob"} {
		f.set(name, records.UserPatch{Password: &password})
		f.pass(time.Second)
	}
	f.set("carol", records.UserPatch{})
	f.wantNames("all", store.UserFilter{}, store.Page{}, "carol", "alice", "bob")
	f.wantNames("a part of the name", store.UserFilter{Text: "o"}, store.Page{}, "carol", "bob")
	yes, no := true, false
	f.set("bob", records.UserPatch{Disabled: &yes})
	f.wantNames("those that can do nothing", store.UserFilter{Off: &yes}, store.Page{}, "bob")
	f.wantNames("those that can", store.UserFilter{Off: &no, Service: &no}, store.Page{}, "carol", "alice")
	f.wantNames("programs", store.UserFilter{Service: &yes}, store.Page{})
	next := f.wantNames("the first page", store.UserFilter{}, store.Page{Limit: 2, NewestFirst: true}, "bob", "alice")
	f.wantNames("the last page", store.UserFilter{}, store.Page{Limit: 2, NewestFirst: true, After: next}, "carol")
	if err := f.Users.Delete(f.ctx(), "alice", store.AnyVersion, time.Time{}); err != nil {
		f.Fatal(err)
	}
	f.wantNames("without the deleted", store.UserFilter{}, store.Page{}, "carol", "bob")
}
