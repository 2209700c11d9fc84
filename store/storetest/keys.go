package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/records"
	"keyward/store"
)

func (f *fixture) create(name string) (store.KeyRecord, authz.Secret) {
	f.Helper()
	r, secret, err := f.Keys.Create(f.ctx(), store.KeyParams{Name: name, User: "alice", Prefix: "kw_"})
	if err != nil {
		f.Fatal(err)
	}
	return r, secret
}

// wantKey holds what the store says of a key to a record.
func (f *fixture) wantKey(want store.KeyRecord) {
	f.Helper()
	got, err := f.Keys.Get(f.ctx(), want.ID)
	if err != nil || !reflect.DeepEqual(got, want) {
		f.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
}

// wantSecret holds the key of a secret, and the error, to what is wanted.
func (f *fixture) wantSecret(what string, secret authz.Secret, id string, wanted error) {
	f.Helper()
	got, err := f.Keys.FindBySecret(f.ctx(), secret)
	if got.ID != id || !errors.Is(err, wanted) || wanted == nil && err != nil {
		f.Errorf("%s: %s, %v; want %s, %v", what, got.ID, err, id, wanted)
	}
}

func testCreate(f *fixture) {
	scopes := []string{"read"}
	p := store.KeyParams{
		Name: "first", User: "alice", Project: "p1", Paths: []string{"/a"}, Scopes: &scopes, Rate: "5/m", Prefix: "kw_",
		Expires: f.now().Add(time.Hour),
	}
	r, secret, err := f.Keys.Create(f.ctx(), p)
	if err != nil {
		f.Fatal(err)
	}
	scopes[0], p.Paths[0] = "changed", "/changed"
	if !apikey.WellFormed(secret.Reveal(), "kw_") || r.Hash != f.Hasher.Digest(secret.Reveal()) || r.Hint != secret.Reveal()[:7] {
		f.Errorf("a secret that is not the record's: %+v", r)
	}
	if r.Name != "first" || r.User != "alice" || r.Project != "p1" || r.Rate != "5/m" || r.Paths[0] != "/a" || (*r.Scopes)[0] != "read" ||
		!r.Expires.Equal(p.Expires) || !r.Created.Equal(f.now()) || !r.At.Equal(f.now()) || r.Ended() {
		f.Errorf("%+v", r)
	}
	f.wantKey(r)
	f.wantSecret("the secret", secret, r.ID, nil)
	f.wantSecret("another one", authz.NewSecret("kw_other"), "", store.ErrNotFound)
	second, other := f.create("second")
	if second.ID == r.ID || other == secret {
		f.Error("two keys with one id or secret")
	}
}

func testInvalidKeys(f *fixture) {
	for what, p := range map[string]store.KeyParams{
		"a prefix with a space":  {Prefix: "a b"},
		"a name of two lines":    {Name: "a\nb"},
		"a hidden character":     {Name: "ali\u200bce"},
		"a user like a key":      {User: "k_1"},
		"a relative path":        {Paths: []string{"a"}},
		"a scope with a space":   {Scopes: &[]string{"a b"}},
		"no format for new keys": {Format: apikey.FormatRaw},
		"the year 10000":         {Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if r, _, err := f.Keys.Create(f.ctx(), p); err == nil {
			f.Errorf("%s: %+v", what, r)
		}
	}
	f.wantIDs("after refusals", store.KeyFilter{}, store.Page{})
}

func testKeysNotFound(f *fixture) {
	one, _ := f.create("one")
	for _, id := range []string{"", "k_", "k_000000000000", one.ID + "0", "one"} {
		_, errGet := f.Keys.Get(f.ctx(), id)
		_, errRevoke := f.Keys.Revoke(f.ctx(), id, store.AnyVersion)
		_, errDelete := f.Keys.Delete(f.ctx(), id, store.AnyVersion)
		_, _, errRotate := f.Keys.Rotate(f.ctx(), id, store.AnyVersion, 0)
		for what, err := range map[string]error{"get": errGet, "revoke": errRevoke, "delete": errDelete, "rotate": errRotate} {
			if !errors.Is(err, store.ErrNotFound) {
				f.Errorf("%s %q: %v", what, id, err)
			}
		}
	}
	f.wantKey(one)
}

func testRevoke(f *fixture) {
	one, secret := f.create("one")
	two, _ := f.create("two")
	at := f.pass(time.Minute)
	revoked, err := f.Keys.Revoke(f.ctx(), one.ID, store.AnyVersion)
	if err != nil || !revoked.Revoked.Equal(at) || !revoked.At.Equal(at) || !revoked.Deleted.IsZero() {
		f.Errorf("%+v, %v", revoked, err)
	}
	f.wantKey(revoked)
	f.wantKey(two)
	f.wantSecret("of a revoked key", secret, one.ID, nil)
	f.pass(time.Minute)
	if again, err := f.Keys.Revoke(f.ctx(), one.ID, store.AnyVersion); err != nil || !reflect.DeepEqual(again, revoked) {
		f.Errorf("revoked again: %+v, %v", again, err)
	}
	if _, _, err := f.Keys.Rotate(f.ctx(), one.ID, store.AnyVersion, 0); !errors.Is(err, store.ErrRevoked) {
		f.Errorf("a revoked key is rotated: %v", err)
	}
}

func testDelete(f *fixture) {
	one, secret := f.create("one")
	two, _ := f.create("two")
	at := f.pass(time.Minute)
	if r, err := f.Keys.Delete(f.ctx(), one.ID, store.AnyVersion); err != nil || !r.Deleted.Equal(at) {
		f.Errorf("%+v, %v", r, err)
	}
	if _, err := f.Keys.Delete(f.ctx(), one.ID, store.AnyVersion); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("deleted twice: %v", err)
	}
	if _, err := f.Keys.Get(f.ctx(), one.ID); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("a deleted key: %v", err)
	}
	f.wantSecret("of a deleted key", secret, "", store.ErrNotFound)
	if _, _, err := f.Keys.Rotate(f.ctx(), one.ID, store.AnyVersion, 0); err == nil {
		f.Error("a deleted key is rotated")
	}
	f.wantIDs("after a deletion", store.KeyFilter{}, store.Page{}, two.ID)
}

func testRotate(f *fixture) {
	one, first := f.create("one")
	at := f.pass(time.Minute)
	rotated, second, err := f.Keys.Rotate(f.ctx(), one.ID, store.AnyVersion, 0)
	if err != nil {
		f.Fatal(err)
	}
	if rotated.ID != one.ID || rotated.Name != one.Name || !rotated.Created.Equal(one.Created) || !rotated.At.Equal(at) ||
		rotated.Hash != f.Hasher.Digest(second.Reveal()) || rotated.Hash == one.Hash || !apikey.WellFormed(second.Reveal(), "kw_") {
		f.Errorf("%+v", rotated)
	}
	f.wantKey(rotated)
	f.wantSecret("the new secret", second, one.ID, nil)
	f.wantSecret("the old secret", first, one.ID, store.ErrRevoked)
	if _, _, err := f.Keys.Rotate(f.ctx(), one.ID, store.AnyVersion, -time.Second); !errors.Is(err, store.ErrInvalid) {
		f.Errorf("a grace before now: %v", err)
	}
}

func testRotateWithGrace(f *fixture) {
	one, first := f.create("one")
	rotate := func(grace time.Duration) authz.Secret {
		f.Helper()
		_, secret, err := f.Keys.Rotate(f.ctx(), one.ID, store.AnyVersion, grace)
		if err != nil {
			f.Fatal(err)
		}
		return secret
	}
	second := rotate(time.Hour)
	third := rotate(time.Minute)
	for i, secret := range []authz.Secret{first, second, third} {
		f.wantSecret(fmt.Sprint("within the grace, secret ", i), secret, one.ID, nil)
	}
	f.pass(time.Minute)
	f.wantSecret("at the end of its grace", second, one.ID, store.ErrRevoked)
	f.wantSecret("within a longer grace", first, one.ID, nil)
	rotate(0)
	f.wantSecret("after a rotation without a grace", first, one.ID, store.ErrRevoked)
	f.wantSecret("after a rotation without a grace", third, one.ID, store.ErrRevoked)
}

func testImport(f *fixture) {
	one, secret := f.create("one")
	entry := func(line int, secret string) store.ImportedKey {
		return store.ImportedKey{
			Line: line, Params: &store.KeyParams{Name: "imported", User: "bob"}, Hash: f.Hasher.Digest(secret), Format: apikey.FormatRaw, Hint: secret[:1],
		}
	}
	f.pass(time.Second)
	all, err := f.Keys.Import(f.ctx(), []store.ImportedKey{entry(1, "old-1"), entry(3, "old-2")})
	if err != nil || len(all) != 2 || all[0].Name != "imported" || all[1].User != "bob" || !all[0].Created.Equal(f.now()) || all[0].ID == all[1].ID {
		f.Fatalf("%+v, %v", all, err)
	}
	f.wantKey(all[1])
	f.wantSecret("an imported one", authz.NewSecret("old-2"), all[1].ID, nil)
	for what, c := range map[string]struct {
		keys []store.ImportedKey
		says string
	}{
		"twice in the input":          {[]store.ImportedKey{entry(1, "a"), entry(5, "a")}, "line 5"},
		"one that was imported":       {[]store.ImportedKey{entry(1, "a"), entry(2, "old-1")}, "line 2"},
		"one without a line number":   {[]store.ImportedKey{entry(0, "a"), entry(0, "old-1")}, "line 0"},
		"one that was made":           {[]store.ImportedKey{entry(7, secret.Reveal()), entry(8, "b")}, "line 7"},
		"the earlier secret of a key": {[]store.ImportedKey{entry(9, f.rotateAway(one.ID, secret))}, "line 9"},
	} {
		if _, err := f.Keys.Import(f.ctx(), c.keys); !errors.Is(err, store.ErrDuplicate) || !strings.Contains(fmt.Sprint(err), c.says) {
			f.Errorf("%s: %v", what, err)
		}
	}
	hidden := entry(11, "c")
	hidden.Params = &store.KeyParams{Name: "imported", User: "b\u200bob"}
	if _, err := f.Keys.Import(f.ctx(), []store.ImportedKey{entry(10, "b"), hidden}); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "line 11") {
		f.Errorf("a name that no new key can have: %v", err)
	}
	ids := []string{all[0].ID, all[1].ID} // made at the same time
	slices.Sort(ids)
	f.wantIDs("after refusals", store.KeyFilter{User: "bob"}, store.Page{}, ids...)
}

// rotateAway rotates the key, with a grace for its secret, which it returns.
func (f *fixture) rotateAway(id string, secret authz.Secret) string {
	f.Helper()
	if _, _, err := f.Keys.Rotate(f.ctx(), id, store.AnyVersion, time.Hour); err != nil {
		f.Fatal(err)
	}
	return secret.Reveal()
}

func testKeyVersions(f *fixture) {
	made, _ := f.create("one")
	f.pass(time.Minute)
	rotated, _, err := f.Keys.Rotate(f.ctx(), made.ID, made.Version(), time.Second)
	if err != nil || rotated.Version() == made.Version() || rotated.Version() == store.AnyVersion {
		f.Fatalf("%q, then %q, %v", made.Version(), rotated.Version(), err)
	}
	_, errRevoke := f.Keys.Revoke(f.ctx(), made.ID, made.Version())
	_, errDelete := f.Keys.Delete(f.ctx(), made.ID, made.Version())
	_, _, errRotate := f.Keys.Rotate(f.ctx(), made.ID, made.Version(), 0)
	for what, err := range map[string]error{"revoke": errRevoke, "delete": errDelete, "rotate": errRotate} {
		if !errors.Is(err, store.ErrChanged) {
			f.Errorf("%s of an earlier version: %v", what, err)
		}
	}
	f.wantKey(rotated)
	got, err := f.Keys.Get(f.ctx(), made.ID)
	if err != nil || got.Version() != rotated.Version() {
		f.Errorf("%q read, %q written, %v", got.Version(), rotated.Version(), err)
	}
	f.pass(time.Minute) // the grace ends, which is not a change
	if _, err := f.Keys.Revoke(f.ctx(), made.ID, got.Version()); err != nil {
		f.Errorf("revoke of the last version: %v", err)
	}
}

func testConcurrentWriters(f *fixture) {
	const writers, each = 4, 10
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				r, _, err := f.Keys.Create(f.ctx(), store.KeyParams{Name: "key"})
				if err == nil {
					_, err = f.Keys.Revoke(f.ctx(), r.ID, r.Version())
				}
				if err != nil {
					f.Error(err)
				}
			}
		})
	}
	all.Wait()
	records, _, err := f.Keys.List(f.ctx(), store.KeyFilter{}, store.Page{})
	if err != nil || len(records) != writers*each || slices.ContainsFunc(records, func(r store.KeyRecord) bool { return !r.Ended() }) {
		f.Errorf("%d keys, %v", len(records), err)
	}
}

func testContext(f *fixture) {
	one, secret := f.create("one")
	ctx, cancel := context.WithCancel(f.ctx())
	cancel()
	_, _, errCreate := f.Keys.Create(ctx, store.KeyParams{Name: "two"})
	_, errRevoke := f.Keys.Revoke(ctx, one.ID, store.AnyVersion)
	_, errGet := f.Keys.Get(ctx, one.ID)
	_, errFind := f.Keys.FindBySecret(ctx, secret)
	_, _, errList := f.Keys.List(ctx, store.KeyFilter{}, store.Page{})
	_, errSet := f.Users.Set(ctx, "alice", store.AnyVersion, records.UserPatch{})
	_, _, errUsers := f.Users.List(ctx, store.UserFilter{}, store.Page{}) // of which there are none
	_, errToken := f.Revocations.RevokeToken(ctx, "t")
	for what, err := range map[string]error{
		"create": errCreate, "revoke": errRevoke, "get": errGet, "find": errFind, "list": errList, "set user": errSet, "list users": errUsers, "revoke token": errToken,
	} {
		if !errors.Is(err, context.Canceled) {
			f.Errorf("%s: %v", what, err)
		}
	}
	f.wantIDs("after that", store.KeyFilter{}, store.Page{}, one.ID)
	f.wantKey(one)
}
