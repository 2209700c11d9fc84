package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"keyward/authz"
)

const refreshTTL = 30 * 24 * time.Hour

var errEnded = errors.New("the user's tokens have ended")

// family is a grant whose refresh tokens a test uses.
type family struct {
	t     *testing.T
	db    *DB
	clock *clock
	Grant
	token authz.Secret // the latest
}

func newFamily(t *testing.T, db *DB, c *clock) *family {
	t.Helper()
	grant, token, err := db.Grants.Create(t.Context(), 0, Grant{User: "ada", Client: "login", Gen: 3, Address: "192.0.2.7"}, refreshTTL)
	want(t, "create", err, nil)
	return &family{t, db, c, grant, token}
}

// rotate presents a token and returns what comes of it.
func (f *family) rotate(token authz.Secret) (authz.Secret, error) {
	_, next, err := f.db.Grants.Rotate(f.t.Context(), token, "login", refreshTTL, func(g Grant) error {
		if g.Gen != 3 {
			return errEnded
		}
		return nil
	})
	return next, err
}

// next is rotate that must succeed.
func (f *family) next(token authz.Secret) authz.Secret {
	f.t.Helper()
	next, err := f.rotate(token)
	want(f.t, "rotate", err, nil)
	return next
}

// TestRefresh: a refresh token is replaced by its successor, once; for ten seconds it gives the
// same successor again, and later it is reuse.
func TestRefresh(t *testing.T) { onEach(t, testRefresh) }

func testRefresh(t *testing.T, newPlace newPlace) {
	clock := newClock()
	f := newFamily(t, newPlace(t).open(t, clock), clock)
	if f.ID == "" || f.Expires.Sub(f.Began) != refreshTTL {
		t.Errorf("created: %+v", f.Grant)
	}
	clock.advance(time.Hour)
	second := f.next(f.token)
	found, err := f.db.Grants.Find(t.Context(), f.token)
	want(t, "find by a used token", err, nil)
	if found.ID != f.ID || found.User != "ada" || found.Client != "login" || found.Gen != 3 || found.Scopes != nil || found.Address != "192.0.2.7" ||
		!found.Began.Equal(f.Began) || !found.Expires.Equal(clock.now().Add(refreshTTL)) {
		t.Errorf("found: %+v", found)
	}
	clock.advance(refreshLeeway)
	if again := f.next(f.token); again != second {
		t.Error("within the leeway it has another successor")
	}
	third := f.next(second)
	_, err = f.rotate(f.token)
	want(t, "within the leeway, after its successor was used", err, ErrRefreshReplaced)
	if again := f.next(second); again != third {
		t.Error("the successor has another successor")
	}
	clock.advance(time.Millisecond)
	grant, token, err := f.db.Grants.Rotate(t.Context(), f.token, "login", refreshTTL, func(Grant) error { return nil })
	want(t, "after the leeway", err, ErrRefreshReused)
	if grant.ID != f.ID || !token.Empty() {
		t.Errorf("after the leeway: %+v", grant)
	}
	f.next(third) // the caller ends the grant
	want(t, "end", f.db.Grants.End(t.Context(), 0, f.ID), nil)
	want(t, "end again", f.db.Grants.End(t.Context(), 0, f.ID), nil)
	for _, token := range []authz.Secret{f.token, second, third} {
		_, err := f.rotate(token)
		want(t, "after the end", err, ErrNotFound)
		_, err = f.db.Grants.Find(t.Context(), token)
		want(t, "find after the end", err, ErrNotFound)
	}
}

// TestRefreshRefused: what a token is not good for changes nothing.
func TestRefreshRefused(t *testing.T) { onEach(t, testRefreshRefused) }

func testRefreshRefused(t *testing.T, newPlace newPlace) {
	clock := newClock()
	db := newPlace(t).open(t, clock)
	f := newFamily(t, db, clock)
	other, otherToken, err := db.Grants.Create(t.Context(), 0, Grant{User: "bob", Client: "login", Gen: 2, Scopes: []string{"a", "b"}}, refreshTTL)
	want(t, "create", err, nil)
	if g, err := db.Grants.Find(t.Context(), otherToken); err != nil || fmt.Sprint(g.Scopes) != "[a b]" {
		t.Errorf("scopes: %v, %v", g.Scopes, err)
	}
	for range 2 {
		_, err = f.rotate(otherToken)
		want(t, "of an earlier generation", err, errEnded)
	}
	_, _, err = db.Grants.Rotate(t.Context(), f.token, "c_1", refreshTTL, func(Grant) error { return nil })
	want(t, "of another client", err, ErrNotFound)
	for _, g := range []Grant{{Client: "login"}, {User: "ada"}} {
		_, _, err = db.Grants.Create(t.Context(), 0, g, refreshTTL)
		want(t, "of no user, or no client", err, ErrInvalid)
	}
	_, _, err = db.Grants.Create(t.Context(), 0, Grant{User: "ada", Client: "login"}, 0)
	want(t, "of no lifetime", err, ErrInvalid)
	for what, token := range map[string]authz.Secret{
		"none": {}, "junk": authz.NewSecret("x"), "unknown": authz.NewSecret(f.token.Reveal()[:len(f.token.Reveal())-1] + "A"),
	} {
		if token == f.token {
			continue
		}
		_, err := f.rotate(token)
		want(t, what, err, ErrNotFound)
	}
	second := f.next(f.token)
	_, _, err = db.Grants.Rotate(t.Context(), f.token, "c_1", refreshTTL, func(Grant) error { return nil })
	want(t, "a used one of another client", err, ErrNotFound)
	clock.advance(refreshTTL)
	_, err = f.rotate(second)
	want(t, "expired", err, ErrNotFound)
	_, err = db.Grants.Find(t.Context(), second)
	want(t, "find an expired one", err, ErrNotFound)
	kept := func() (n int) {
		q, done := db.storage.reader(t.Context())
		defer done()
		want(t, "count", q.row(`SELECT (SELECT count(*) FROM state_grant) + (SELECT count(*) FROM state_refresh)`).Scan(&n), nil)
		return n
	}
	if before := kept(); before != 5 {
		t.Errorf("%d rows before a sweep", before)
	}
	want(t, "sweep", db.Sweep(t.Context()), nil)
	if after := kept(); after != 0 {
		t.Errorf("%d rows after it", after)
	}
	want(t, "end", db.Grants.End(t.Context(), 0, other.ID), nil)
}

// TestRefreshByAnotherClock: a token that was used is reuse by a clock that has gone back
// further than the leeway, and not by one that differs a little.
func TestRefreshByAnotherClock(t *testing.T) { onEach(t, testRefreshByAnotherClock) }

func testRefreshByAnotherClock(t *testing.T, newPlace newPlace) {
	clock := newClock()
	f := newFamily(t, newPlace(t).open(t, clock), clock)
	clock.advance(time.Hour)
	second := f.next(f.token)
	clock.advance(-refreshLeeway)
	if again := f.next(f.token); again != second {
		t.Error("by a clock that is a little behind it has another successor")
	}
	clock.advance(-time.Millisecond)
	_, err := f.rotate(f.token)
	want(t, "by a clock that went back", err, ErrRefreshReused)
}

// TestTabs: of calls with one token at the same time, in two processes, all get the same
// successor.
func TestTabs(t *testing.T) { onEach(t, testTabs) }

func testTabs(t *testing.T, newPlace newPlace) {
	where := newPlace(t)
	handles := []*DB{where.open(t, nil), where.open(t, nil)}
	f := newFamily(t, handles[0], nil)
	for range 5 {
		var all [8]authz.Secret
		var errs [8]error
		var tabs sync.WaitGroup
		for i := range all {
			tabs.Go(func() {
				_, all[i], errs[i] = handles[i%2].Grants.Rotate(context.Background(), f.token, "login", refreshTTL, func(Grant) error { return nil })
			})
		}
		tabs.Wait()
		for i := range all {
			want(t, "a tab", errs[i], nil)
			if all[i] != all[0] || all[i] == f.token {
				t.Fatal("the tabs have other tokens")
			}
		}
		f.token = all[0]
	}
}

// TestManyGrants: a user's further login ends the grant that is the first to expire, and none of others.
func TestManyGrants(t *testing.T) {
	clock := newClock()
	db := newFile(t).open(t, clock)
	_, others, err := db.Grants.Create(t.Context(), 0, Grant{User: "bob", Client: "login"}, refreshTTL)
	want(t, "create", err, nil)
	var tokens []authz.Secret
	for range maxGrantsPerUser + 1 {
		clock.advance(time.Millisecond)
		tokens = append(tokens, newFamily(t, db, clock).token)
	}
	_, err = db.Grants.Find(t.Context(), tokens[0])
	want(t, "the oldest", err, ErrNotFound)
	for _, token := range []authz.Secret{tokens[1], tokens[maxGrantsPerUser], others} {
		_, err = db.Grants.Find(t.Context(), token)
		want(t, "a later one, or another user's", err, nil)
	}
}

// TestManyCodes: codes that are never used, which another site can have a browser ask for, end
// no grant that has tokens.
func TestManyCodes(t *testing.T) { onEach(t, testManyCodes) }

func testManyCodes(t *testing.T, newPlace newPlace) {
	clock := newClock()
	db := newPlace(t).open(t, clock)
	_, token := codeOf(t, db)
	_, refresh, err := db.Grants.Redeem(t.Context(), token, redemption(testClient))
	want(t, "redeem", err, nil)
	var last authz.Secret
	for range maxGrantsPerUser + 1 {
		clock.advance(time.Millisecond)
		_, last = codeOf(t, db)
	}
	_, err = db.Grants.FindUnused(t.Context(), refresh)
	want(t, "the grant with tokens", err, nil)
	_, _, err = db.Grants.FindCode(t.Context(), last)
	want(t, "the latest code", err, nil)
	if n := rows(t, db, "state_grant"); n != maxGrantsPerUser {
		t.Errorf("%d grants", n)
	}
}
