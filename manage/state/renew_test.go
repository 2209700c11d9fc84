package state

import (
	"testing"
	"time"
)

// TestRenew: a renewed session is the same login under another cookie, and begins after
// the time until which the user's sessions have ended, also by a clock that went back.
func TestRenew(t *testing.T) { onEach(t, testRenew) }

func testRenew(t *testing.T, newPlace newPlace) {
	c := newClock()
	db := newPlace(t).open(t, c)
	old, cookie := login(t, db, Login{User: "ada", Method: LoginOIDC, Roles: []string{"keyward:read"}, Address: "192.0.2.1"})
	other, _ := login(t, db, Login{User: "ada"})
	for _, ended := range []time.Time{{}, c.now().Add(-time.Hour), c.now(), c.now().Add(time.Hour)} {
		renewed, next, err := db.Sessions.Renew(t.Context(), old, ended)
		want(t, "renew", err, nil)
		if !renewed.Login.After(ended) || !renewed.Seen.Equal(c.now()) || renewed.Expires.After(c.now().Add(30*time.Minute)) {
			t.Errorf("sessions until %s have ended: %+v", ended, renewed)
		}
		if renewed.ID == old.ID || renewed.User != "ada" || renewed.Method != LoginOIDC || len(renewed.Roles) != 1 || renewed.Address != old.Address {
			t.Errorf("%+v renewed is %+v", old, renewed)
		}
		_, err = db.Sessions.Find(t.Context(), cookie)
		want(t, "the cookie before", err, ErrNotFound)
		_, err = db.Sessions.Find(t.Context(), next)
		want(t, "the new cookie", err, nil)
		old, cookie = renewed, next
	}
	_, err := db.Sessions.Get(t.Context(), "ada", other.ID)
	want(t, "the user's other session", err, nil)
}

// TestGetSession: the session of that user alone, until it expires, and without a use.
func TestGetSession(t *testing.T) { onEach(t, testGetSession) }

func testGetSession(t *testing.T, newPlace newPlace) {
	c := newClock()
	db := newPlace(t).open(t, c)
	created, _ := login(t, db, Login{User: "ada"})
	c.advance(30*time.Minute - time.Millisecond)
	got, err := db.Sessions.Get(t.Context(), "ada", created.ID)
	want(t, "get", err, nil)
	if got.ID != created.ID || !got.Seen.Equal(created.Seen) {
		t.Errorf("%+v, want %+v", got, created)
	}
	_, err = db.Sessions.Get(t.Context(), "bob", created.ID)
	want(t, "of another user", err, ErrNotFound)
	c.advance(time.Millisecond)
	_, err = db.Sessions.Get(t.Context(), "ada", created.ID)
	want(t, "expired", err, ErrNotFound)
}
