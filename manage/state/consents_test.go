package state

import (
	"fmt"
	"testing"
	"time"
)

// TestConsents: a consent is of one user for one client; a later one takes its place, and one
// that is withdrawn is gone, and no other.
func TestConsents(t *testing.T) { onEach(t, testConsents) }

func testConsents(t *testing.T, newPlace newPlace) {
	clock := newClock()
	db := newPlace(t).open(t, clock)
	put := func(user, client string, scopes ...string) {
		t.Helper()
		want(t, "put", db.Consents.Put(t.Context(), 0, user, Consent{Client: client, Scopes: scopes, Given: time.Unix(0, 0)}), nil)
	}
	scopesOf := func(user, client string) string {
		t.Helper()
		c, err := db.Consents.Get(t.Context(), user, client)
		if err != nil {
			want(t, "get", err, ErrNotFound)
			return "none"
		}
		if c.Client != client || c.Given.After(clock.now()) || c.Given.Before(clock.now().Add(-time.Hour)) {
			t.Errorf("%+v", c)
		}
		return fmt.Sprint(c.Scopes)
	}
	check := func(what string, scopes ...string) {
		t.Helper()
		for i, of := range [][2]string{{"ada", "c_1"}, {"ada", "c_2"}, {"bob", "c_1"}, {"", "c_1"}, {"ada", ""}} {
			expected := "none"
			if i < len(scopes) {
				expected = scopes[i]
			}
			if got := scopesOf(of[0], of[1]); got != expected {
				t.Errorf("%s: %v has %s, want %s", what, of, got, expected)
			}
		}
	}
	check("none yet")
	put("ada", "c_1", "read", "write")
	check("the first", "[read write]")
	clock.advance(time.Hour)
	put("ada", "c_2")
	put("bob", "c_1", "admin")
	check("others", "[read write]", "[]", "[admin]")
	clock.advance(time.Minute)
	put("ada", "c_1", "read")
	check("a later one", "[read]", "[]", "[admin]")
	all, err := db.Consents.List(t.Context(), "ada")
	want(t, "list", err, nil)
	if len(all) != 2 || all[0].Client != "c_1" || all[1].Client != "c_2" || !all[0].Given.Equal(clock.now()) {
		t.Errorf("listed %+v", all)
	}
	for range 2 { // one that is not there is not an error
		want(t, "withdraw", db.Consents.Withdraw(t.Context(), 0, "ada", "c_1"), nil)
		check("withdrawn", "none", "[]", "[admin]")
	}
	if none, err := db.Consents.List(t.Context(), "eve"); err != nil || len(none) > 0 {
		t.Errorf("of another user: %+v, %v", none, err)
	}
}

// TestIssuerSessions: a session of the issuer's pages is none of the console's, and the other
// way round: neither is found by the other's cookie, ended with it, or replaced by it.
func TestIssuerSessions(t *testing.T) { onEach(t, testIssuerSessions) }

func testIssuerSessions(t *testing.T, newPlace newPlace) {
	db := newPlace(t).open(t, newClock())
	console, consoleCookie := login(t, db, Login{User: "ada"})
	issuer, issuerCookie, err := db.IssuerSessions.Create(t.Context(), Login{User: "ada", Method: LoginPassword, Replaces: consoleCookie})
	want(t, "create", err, nil)
	_, err = db.IssuerSessions.Find(t.Context(), consoleCookie)
	want(t, "the console's cookie at the issuer", err, ErrNotFound)
	_, err = db.Sessions.Find(t.Context(), issuerCookie)
	want(t, "the issuer's cookie at the console", err, ErrNotFound)
	want(t, "end the other's", db.Sessions.End(t.Context(), 0, "ada", issuer.ID), ErrNotFound)
	want(t, "end the other's", db.IssuerSessions.End(t.Context(), 0, "ada", console.ID), ErrNotFound)
	_, err = db.Sessions.Get(t.Context(), "ada", issuer.ID)
	want(t, "get the other's", err, ErrNotFound)
	_, err = db.Sessions.Find(t.Context(), consoleCookie)
	want(t, "the console's", err, nil)
	_, err = db.IssuerSessions.Find(t.Context(), issuerCookie)
	want(t, "the issuer's", err, nil)
	for what, of := range map[string]Sessions{"console": db.Sessions, "issuer": db.IssuerSessions} {
		if all, err := of.List(t.Context(), "ada"); err != nil || len(all) != 1 {
			t.Errorf("%s: %+v, %v", what, all, err)
		}
	}
	want(t, "end", db.IssuerSessions.End(t.Context(), 0, "ada", issuer.ID), nil)
	_, err = db.IssuerSessions.Find(t.Context(), issuerCookie)
	want(t, "after its end", err, ErrNotFound)
	_, err = db.Sessions.Find(t.Context(), consoleCookie)
	want(t, "the console's, after the end of the issuer's", err, nil)
}
