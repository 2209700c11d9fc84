package storetest

import (
	"errors"
	"strings"
	"time"

	"keyward/store"
)

func testRevokeTokens(f *fixture) {
	before := f.now().Add(-time.Hour)
	for i, revoke := range []func() (store.Revocation, error){
		func() (store.Revocation, error) { return f.Revocations.RevokeToken(f.ctx(), "t1") },
		func() (store.Revocation, error) { return f.Revocations.RevokeSubject(f.ctx(), "alice", before) },
		func() (store.Revocation, error) { return f.Revocations.RevokeIssuedBefore(f.ctx(), before) },
	} {
		want := []store.Revocation{{TokenID: "t1"}, {Subject: "alice", IssuedBefore: before}, {IssuedBefore: before}}[i]
		at := f.pass(time.Second)
		got, err := revoke()
		if err != nil || got.TokenID != want.TokenID || got.Subject != want.Subject || !got.IssuedBefore.Equal(want.IssuedBefore) || !got.At.Equal(at) {
			f.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	f.wantRevocations("all", store.RevocationFilter{}, store.Page{}, "t1", "alice", "")
	f.wantRevocations("of a subject", store.RevocationFilter{Subject: "alice"}, store.Page{}, "alice")
	page := store.Page{Limit: 2, NewestFirst: true}
	page.After = f.wantRevocations("the first page", store.RevocationFilter{}, page, "", "alice")
	f.wantRevocations("the last page", store.RevocationFilter{}, page, "t1")
}

// wantRevocations holds a list to the ids or subjects of its revocations.
func (f *fixture) wantRevocations(what string, filter store.RevocationFilter, page store.Page, names ...string) store.Cursor {
	f.Helper()
	all, next, err := f.Revocations.List(f.ctx(), filter, page)
	if err != nil || len(all) != len(names) {
		f.Fatalf("%s: %+v, %v", what, all, err)
	}
	for i, r := range all {
		if r.TokenID+r.Subject != names[i] {
			f.Errorf("%s: %+v, want %s", what, r, names[i])
		}
	}
	return next
}

// testRevocationsOfNothing: what no token can be named by revokes nothing, and
// an empty subject is not all of them.
func testRevocationsOfNothing(f *fixture) {
	before := f.now()
	for _, name := range []string{"", " t", "a\nb", "ali\u200bce", "\xff", strings.Repeat("x", 256)} {
		_, errToken := f.Revocations.RevokeToken(f.ctx(), name)
		_, errSubject := f.Revocations.RevokeSubject(f.ctx(), name, before)
		if !errors.Is(errToken, store.ErrInvalid) || !errors.Is(errSubject, store.ErrInvalid) {
			f.Errorf("%+q: %v, %v", name, errToken, errSubject)
		}
	}
	_, errSubject := f.Revocations.RevokeSubject(f.ctx(), "alice", time.Time{})
	_, errAll := f.Revocations.RevokeIssuedBefore(f.ctx(), time.Time{})
	if !errors.Is(errSubject, store.ErrInvalid) || !errors.Is(errAll, store.ErrInvalid) {
		f.Errorf("no time: %v, %v", errSubject, errAll)
	}
	f.wantRevocations("after refusals", store.RevocationFilter{}, store.Page{})
}
