package manage

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// imported is the key of line n of an input.
func imported(n int, p store.KeyParams) store.ImportedKey {
	return store.ImportedKey{Line: n, Params: &p, Hash: apikey.Digest{byte(n)}, Format: apikey.FormatRaw, Hint: "abcd"}
}

// actions are those of the audit log with their targets and the fields that changed.
func (f *fixture) actions() []string {
	f.Helper()
	var all []string
	for _, e := range f.entries() {
		fields := []string{string(e.Action), e.Record, string(e.Outcome)}
		for _, c := range e.Changes {
			fields = append(fields, c.Field)
		}
		all = append(all, strings.Join(fields, " "))
	}
	return all
}

// TestImportKeys: every key has its entry, in one step; an input of which one key cannot
// be imported is refused entirely, with the line that is wrong.
func TestImportKeys(t *testing.T) {
	f := newFixture(t)
	records, err := f.ImportKeys(f.ctx(), f.admin, []store.ImportedKey{imported(1, store.KeyParams{Name: "old"}), imported(2, store.KeyParams{User: "alice"})})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"key.import " + records[0].ID + " done name format", "key.import " + records[1].ID + " done user format"}
	if got := f.actions(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for name, c := range map[string]struct {
		second store.ImportedKey
		code   fault.Code
		cause  string
	}{
		"a prefix that no key has":        {imported(4, store.KeyParams{Prefix: "a b"}), fault.Invalid, "input line 4: invalid: "},
		"a rate that is not one":          {imported(4, store.KeyParams{Rate: "often"}), fault.Invalid, "input line 4: invalid: "},
		"a managing scope without a user": {imported(4, store.KeyParams{Scopes: scopes(access.ScopeRead)}), fault.Invalid, "input line 4: invalid: a scope that begins with keyward: needs a user"},
		"an unknown managing scope":       {imported(4, store.KeyParams{User: "alice", Scopes: scopes("keyward:root")}), fault.Invalid, "input line 4: invalid: the managing scope 1 of the list is not known"},
		"twice in the input":              {imported(3, store.KeyParams{}), fault.Conflict, "input line 3: the key of line 3 again: there already"},
		"in the store":                    {imported(1, store.KeyParams{}), fault.Conflict, "input line 1: key " + records[0].ID + ": there already"},
	} {
		_, err := f.ImportKeys(f.ctx(), f.admin, []store.ImportedKey{imported(3, store.KeyParams{}), c.second})
		f.wantCode(name, err, c.code)
		if cause := errors.Unwrap(err); cause == nil || !strings.HasPrefix(cause.Error(), c.cause) {
			t.Errorf("%s: %v, want %q", name, cause, c.cause)
		}
	}
	if all, _, err := f.Keys.List(f.ctx(), store.KeyFilter{}, store.Page{}); err != nil || len(all) != 2 {
		t.Errorf("%d keys, %v", len(all), err)
	}
}

// TestImportUsers: of a user who is there only the password changes.
func TestImportUsers(t *testing.T) {
	f := newFixture(t)
	f.user("alice", []string{"read"}, "/api")
	f.pass(time.Second)
	records, err := f.ImportUsers(f.ctx(), f.admin, []store.ImportedUser{{Line: 1, Name: "alice", Password: testHash}, {Line: 2, Name: "bob", Password: testHash}})
	if err != nil || len(records) != 2 || records[0].Password != "" {
		t.Fatalf("%+v, %v", records, err)
	}
	if got := f.actions()[1:]; !slices.Equal(got, []string{"user.import alice done sessions_since password", "user.import bob done password"}) {
		t.Errorf("%q", got)
	}
	alice, err := f.Users.Get(f.ctx(), "alice")
	if err != nil || !slices.Equal(alice.Scopes, []string{"read"}) || !slices.Equal(alice.Paths, []string{"/api"}) || alice.Created.Equal(alice.At) {
		t.Errorf("%+v, %v", alice, err)
	}
	_, err = f.ImportUsers(f.ctx(), f.admin, []store.ImportedUser{{Line: 1, Name: "carol", Password: testHash}, {Line: 2, Name: "c_arol", Password: testHash}})
	f.wantCode("a name that no user can have", err, fault.Invalid)
	if _, err := f.Users.Get(f.ctx(), "carol"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the first of an import that was refused: %v", err)
	}
}

// TestSetUser: one step makes a user or changes it, and the log says which it was.
func TestSetUser(t *testing.T) {
	f := newFixture(t)
	password := authz.NewSecret("correct horse")
	short := authz.NewSecret(strings.Repeat("x", 73))
	set := func(name string, patch UserPatch, password *authz.Secret) error {
		f.pass(time.Second)
		_, err := f.SetUser(f.ctx(), f.admin, UserRef{Name: name}, patch, password)
		return err
	}
	f.wantCode("create", set("alice", UserPatch{Scopes: scopes("read"), Paths: scopes("/api")}, &password), "")
	f.wantCode("disable", set("alice", UserPatch{Disabled: new(true)}, nil), "")
	f.wantCode("a password", set("alice", UserPatch{}, &password), "")
	f.wantCode("several", set("alice", UserPatch{Disabled: new(false), Scopes: scopes(access.ScopeAdmin)}, nil), "")
	f.wantCode("the last administrator", set("alice", UserPatch{Scopes: &[]string{}}, nil), fault.Conflict)
	f.wantCode("a name that no user can have", set("k_alice", UserPatch{}, nil), fault.Invalid)
	f.wantCode("an unknown managing scope", set("alice", UserPatch{Scopes: scopes("keyward:root")}, nil), fault.Invalid)
	f.wantCode("a password that is too long", set("alice", UserPatch{}, &short), fault.Invalid)
	made, err := f.Users.Get(f.ctx(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for what, ref := range map[string]UserRef{"an earlier version": {"alice", "x"}, "of a user who is not there": {"bob", made.Version()}} {
		_, err := f.SetUser(f.ctx(), f.admin, ref, UserPatch{}, nil)
		f.wantCode(what, err, fault.Changed)
	}
	want := []string{
		"user.create alice done paths scopes password", "user.disable alice done disabled sessions_since", "user.password alice done sessions_since", "user.update alice done scopes disabled",
		"user.create k_alice refused", "user.update alice refused", "user.password alice refused",
	}
	if got := f.actions(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, e := range f.entries() {
		if text, err := e.Line(); err != nil || strings.Contains(string(text), "$2a$") || strings.Contains(string(text), "horse") {
			t.Errorf("%s, %v", text, err)
		}
	}
}

// TestDeleteUserByAClockAhead: keys that a clock ahead of this one made end with their
// user too.
func TestDeleteUserByAClockAhead(t *testing.T) {
	f := newFixture(t)
	f.user("alice", nil)
	ahead := f.now().Add(time.Hour)
	f.LatestKey = func(_ context.Context, user string) (time.Time, error) { return ahead, nil }
	if err := f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	if r := f.user("alice", nil); !r.ValidSince.Equal(ahead) {
		t.Errorf("%+v, want since %v", r, ahead)
	}
}

// TestRevokeTokens: a revocation of nothing is refused, and an empty subject is not all
// of them.
func TestRevokeTokens(t *testing.T) {
	f := newFixture(t)
	before := f.now().Add(-time.Hour)
	for name, revoke := range map[string]func() (store.Revocation, error){
		"an empty id":      func() (store.Revocation, error) { return f.RevokeToken(f.ctx(), f.admin, "") },
		"an empty subject": func() (store.Revocation, error) { return f.RevokeTokensOf(f.ctx(), f.admin, "", before) },
		"no time":          func() (store.Revocation, error) { return f.RevokeTokens(f.ctx(), f.admin, time.Time{}) },
	} {
		_, err := revoke()
		f.wantCode(name, err, fault.Invalid)
	}
	r, err := f.RevokeTokensOf(f.ctx(), f.admin, "alice", before)
	if err != nil || r.Seq == 0 || r.Subject != "alice" {
		t.Fatalf("%+v, %v", r, err)
	}
	all, _, err := f.Revocations.List(f.ctx(), store.RevocationFilter{}, store.Page{})
	if err != nil || len(all) != 1 || all[0].Subject != "alice" || !all[0].IssuedBefore.Equal(before) || all[0].Seq != r.Seq {
		t.Errorf("%+v, %v", all, err)
	}
	last := f.entries()[len(f.entries())-1]
	if last.Action != audit.RevocationCreate || last.Record != "alice" || last.Seq != r.Seq || len(last.Changes) != 2 {
		t.Errorf("%+v", last)
	}
}
