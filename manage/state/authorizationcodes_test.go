package state

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
)

const testClient = "c_8ENbdXlcXqgH"

// codeOf is a new authorization code of ada for the test's client, and its grant.
func codeOf(t *testing.T, db *DB) (Grant, authz.Secret) {
	t.Helper()
	grant, token, err := db.Grants.CreateWithCode(t.Context(), 0, Grant{
		User: "ada", Client: testClient, Gen: 3, ClientGen: 4, Scopes: []string{"read"}, Resources: []string{"api"}, AuthTime: db.now().Add(-time.Minute).Truncate(time.Millisecond),
	}, AuthorizationCode{RedirectURI: "https://shop.example.com/cb", Challenge: "challenge", Nonce: "nonce"}, time.Minute)
	want(t, "a code", err, nil)
	return grant, token
}

func redemption(client string) Redemption {
	return Redemption{Client: client, AccessTTL: time.Hour, RefreshTTL: refreshTTL}
}

// TestAuthorizationCode: a code is bound to what it was made for, and is used up once; then
// its grant lives as long as its tokens.
func TestAuthorizationCode(t *testing.T) { onEach(t, testAuthorizationCode) }

func testAuthorizationCode(t *testing.T, newPlace newPlace) {
	clock := newClock()
	db := newPlace(t).open(t, clock)
	made, token := codeOf(t, db)
	for range 2 { // which changes nothing
		grant, code, err := db.Grants.FindCode(t.Context(), token)
		want(t, "find", err, nil)
		if fmt.Sprint(grant) != fmt.Sprint(made) || code != (AuthorizationCode{"https://shop.example.com/cb", "challenge", "nonce", clock.now().Add(time.Minute), false}) {
			t.Errorf("found %+v and %+v, made %+v", grant, code, made)
		}
	}
	_, refused, err := db.Grants.Redeem(t.Context(), token, redemption("c_8ENbdXlcXqgX"))
	want(t, "by another client", err, ErrNotFound)
	clock.advance(time.Minute - time.Millisecond)
	grant, refresh, err := db.Grants.Redeem(t.Context(), token, redemption(testClient))
	want(t, "redeem", err, nil)
	if grant.ID != made.ID || grant.User != "ada" || !grant.Expires.Equal(clock.now().Add(refreshTTL)) || refresh.Empty() || !refused.Empty() {
		t.Errorf("%+v", grant)
	}
	clock.advance(time.Hour) // long after the code's own end
	_, code, err := db.Grants.FindCode(t.Context(), token)
	want(t, "find a used one", err, nil)
	if !code.Used {
		t.Errorf("%+v", code)
	}
	again, second, err := db.Grants.Redeem(t.Context(), token, redemption(testClient))
	want(t, "again", err, ErrCodeUsed)
	if again.ID != made.ID || !second.Empty() {
		t.Errorf("%+v", again)
	}
	_, _, err = db.Grants.Redeem(t.Context(), token, redemption("c_8ENbdXlcXqgX"))
	want(t, "a used one, by another client", err, ErrNotFound)
	if found, err := db.Grants.FindUnused(t.Context(), refresh); err != nil || found.ID != made.ID {
		t.Errorf("the refresh token: %v, %v", found.ID, err)
	}
	want(t, "end", db.Grants.End(t.Context(), 0, made.ID), nil)
	_, _, err = db.Grants.FindCode(t.Context(), token)
	want(t, "find after the end", err, ErrNotFound)
	_, _, err = db.Grants.Redeem(t.Context(), token, redemption(testClient))
	want(t, "after the end", err, ErrNotFound)
	if n := rows(t, db, "state_auth_code") + rows(t, db, "state_refresh") + rows(t, db, "state_grant"); n != 0 {
		t.Errorf("%d rows after the end", n)
	}
}

// TestAuthorizationCodeRefused: which codes cannot be made or used, and what is swept.
func TestAuthorizationCodeRefused(t *testing.T) { onEach(t, testAuthorizationCodeRefused) }

func testAuthorizationCodeRefused(t *testing.T, newPlace newPlace) {
	clock := newClock()
	db := newPlace(t).open(t, clock)
	for what, c := range map[string]struct {
		Grant
		ttl time.Duration
	}{"no user": {Grant{Client: testClient}, time.Minute}, "no client": {Grant{User: "ada"}, time.Minute}, "no lifetime": {Grant{User: "ada", Client: testClient}, 0}} {
		_, token, err := db.Grants.CreateWithCode(t.Context(), 0, c.Grant, AuthorizationCode{}, c.ttl)
		want(t, what, err, ErrInvalid)
		if !token.Empty() {
			t.Errorf("%s: an error and a code", what)
		}
	}
	made, token := codeOf(t, db)
	_, refresh, err := db.Grants.Create(t.Context(), 0, Grant{User: "ada", Client: testClient}, refreshTTL)
	want(t, "a refresh token", err, nil)
	for what, secret := range map[string]authz.Secret{"none": {}, "junk": authz.NewSecret("x"), "a refresh token": refresh, "another": authz.NewSecret(token.Reveal()[:len(token.Reveal())-2] + "AA")} {
		_, _, err := db.Grants.FindCode(t.Context(), secret)
		want(t, "find "+what, err, ErrNotFound)
		_, _, err = db.Grants.Redeem(t.Context(), secret, redemption(testClient))
		want(t, what, err, ErrNotFound)
	}
	_, err = db.Grants.Find(t.Context(), token)
	want(t, "a code as a refresh token", err, ErrNotFound)
	clock.advance(time.Minute)
	_, _, err = db.Grants.FindCode(t.Context(), token)
	want(t, "find an expired one", err, ErrNotFound)
	_, _, err = db.Grants.Redeem(t.Context(), token, redemption(testClient))
	want(t, "expired", err, ErrNotFound)
	_, err = db.Grants.Get(t.Context(), made.ID)
	want(t, "its grant", err, ErrNotFound)
	want(t, "sweep", db.Sweep(t.Context()), nil)
	if codes, grants := rows(t, db, "state_auth_code"), rows(t, db, "state_grant"); codes != 0 || grants != 1 {
		t.Errorf("after a sweep: %d codes, %d grants", codes, grants)
	}
}

// TestRedeemedWithoutRefresh: a client without refresh tokens gets none, and its grant lives
// as long as the access token.
func TestRedeemedWithoutRefresh(t *testing.T) { onEach(t, testRedeemedWithoutRefresh) }

func testRedeemedWithoutRefresh(t *testing.T, newPlace newPlace) {
	clock := newClock()
	db := newPlace(t).open(t, clock)
	_, token := codeOf(t, db)
	grant, refresh, err := db.Grants.Redeem(t.Context(), token, Redemption{Client: testClient, AccessTTL: time.Hour})
	want(t, "redeem", err, nil)
	if !refresh.Empty() || !grant.Expires.Equal(clock.now().Add(time.Hour)) || rows(t, db, "state_refresh") != 0 {
		t.Errorf("%+v, with a refresh token: %v", grant, !refresh.Empty())
	}
	want(t, "sweep", db.Sweep(t.Context()), nil)
	_, _, err = db.Grants.Redeem(t.Context(), token, redemption(testClient))
	want(t, "again, after a sweep", err, ErrCodeUsed)
}

// TestRedeemedOnce: of calls with one code at the same time, in two processes, one succeeds.
func TestRedeemedOnce(t *testing.T) { onEach(t, testRedeemedOnce) }

func testRedeemedOnce(t *testing.T, newPlace newPlace) {
	where := newPlace(t)
	handles := []*DB{where.open(t, nil), where.open(t, nil)}
	for range 5 {
		_, token := codeOf(t, handles[0])
		var all sync.WaitGroup
		var won atomic.Int32
		for i := range 8 {
			all.Go(func() {
				_, _, err := handles[i%2].Grants.Redeem(context.Background(), token, redemption(testClient))
				if err == nil {
					won.Add(1)
					return
				}
				want(t, "redeem", err, ErrCodeUsed)
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d calls redeemed the code", won.Load())
		}
	}
}

// TestFindUnused: a refresh token that was used, or has expired before its grant, is not
// found.
func TestFindUnused(t *testing.T) { onEach(t, testFindUnused) }

func testFindUnused(t *testing.T, newPlace newPlace) {
	clock := newClock()
	f := newFamily(t, newPlace(t).open(t, clock), clock)
	find := func(token authz.Secret) error {
		_, err := f.db.Grants.FindUnused(t.Context(), token)
		return err
	}
	want(t, "a fresh one", find(f.token), nil)
	clock.advance(refreshTTL - time.Minute)
	second := f.next(f.token)
	want(t, "a used one", find(f.token), ErrNotFound)
	want(t, "its successor", find(second), nil)
	clock.advance(time.Minute)
	want(t, "a used one that has expired", find(f.token), ErrNotFound)
	clock.advance(refreshTTL)
	want(t, "the successor, expired", find(second), ErrNotFound)
}
