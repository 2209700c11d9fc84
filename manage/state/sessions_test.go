package state

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
)

func login(t testing.TB, db *DB, l Login) (Session, authz.Secret) {
	t.Helper()
	if l.Method == "" {
		l.Method = LoginPassword
	}
	session, cookie, err := db.Sessions.Create(context.Background(), l)
	if err != nil {
		t.Fatal(err)
	}
	return session, cookie
}

func TestSession(t *testing.T) { onEach(t, testSession) }

func testSession(t *testing.T, newPlace newPlace) {
	c := newClock()
	shared := newPlace(t)
	db := shared.open(t, c)
	created, cookie := login(t, db, Login{User: "ada", Method: LoginOIDC, Roles: []string{"keyward:admin", "a b"}, Address: "2001:db8::1"})
	want := Session{ID: created.ID, User: "ada", Method: LoginOIDC, Roles: []string{"keyward:admin", "a b"}, Address: "2001:db8::1",
		Login: c.now(), Seen: c.now(), Expires: c.now().Add(30 * time.Minute)}
	if !reflect.DeepEqual(created, want) || !strings.HasPrefix(created.ID, "s_") {
		t.Errorf("created %+v, want %+v", created, want)
	}
	for name, db := range map[string]*DB{"same handle": db, "other handle": shared.open(t, c)} {
		if found, err := db.Sessions.Find(t.Context(), cookie); err != nil || !reflect.DeepEqual(found, want) {
			t.Errorf("%s: found %+v, %v", name, found, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", cookie, created, db.Sessions); strings.Contains(text, cookie.Reveal()) {
		t.Errorf("the cookie is printed: %s", text)
	}
}

func TestSessionRefused(t *testing.T) { onEach(t, testSessionRefused) }

func testSessionRefused(t *testing.T, newPlace newPlace) {
	db := newPlace(t).open(t, nil)
	_, cookie := login(t, db, Login{User: "ada"})
	_, other := login(t, newPlace(t).open(t, nil), Login{User: "ada"})
	code, _, err := db.Codes.Issue(t.Context(), 0, PurposePassword, "ada", "v1", time.Hour)
	want(t, "issue", err, nil)
	hash, _ := hashToken(cookie)
	text := cookie.Reveal()
	flipped := []byte(text)
	flipped[0] ^= 1
	for name, c := range map[string]struct {
		cookie authz.Secret
		want   error
	}{
		"the cookie":            {cookie, nil},
		"none":                  {authz.Secret{}, ErrNotFound},
		"empty":                 {authz.NewSecret(""), ErrNotFound},
		"of another file":       {other, ErrNotFound},
		"a code":                {code, ErrNotFound},
		"one bit is different":  {authz.NewSecret(string(flipped)), ErrNotFound},
		"longer":                {authz.NewSecret(text + "A"), ErrNotFound},
		"shorter":               {authz.NewSecret(text[1:]), ErrNotFound},
		"the stored hash":       {authz.NewSecret(string(hash)), ErrNotFound},
		"its text":              {authz.NewSecret(base64.RawURLEncoding.EncodeToString(hash)), ErrNotFound},
		"SQL of the same size":  {authz.NewSecret("' OR 1=1 OR hash='" + strings.Repeat("x", len(text)-18)), ErrNotFound},
		"NULs of the same size": {authz.NewSecret(strings.Repeat("\x00", len(text))), ErrNotFound},
	} {
		session, err := db.Sessions.Find(t.Context(), c.cookie)
		want(t, name, err, c.want)
		if err != nil && session.User != "" {
			t.Errorf("%s: an error and a user", name)
		}
	}
	for _, l := range []Login{{}, {User: "ada"}, {Method: LoginPassword}, {User: "ada", Method: "none"}} {
		_, cookie, err := db.Sessions.Create(t.Context(), l)
		want(t, fmt.Sprintf("%+v", l), err, ErrInvalid)
		if !cookie.Empty() {
			t.Error("an error and a cookie")
		}
	}
}

// TestSessionExpires: 30 minutes after the last use and 12 hours after the login.
func TestSessionExpires(t *testing.T) { onEach(t, testSessionExpires) }

func testSessionExpires(t *testing.T, newPlace newPlace) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		uses []time.Duration // from one to the next
		want error           // of the last
	}{
		"used at once":                   {[]time.Duration{0}, nil},
		"idle for almost 30 minutes":     {[]time.Duration{30*time.Minute - ms}, nil},
		"idle for 30 minutes":            {[]time.Duration{30 * time.Minute}, ErrNotFound},
		"used in between":                {[]time.Duration{29 * time.Minute, 29 * time.Minute}, nil},
		"idle after a use":               {[]time.Duration{29 * time.Minute, 30 * time.Minute}, ErrNotFound},
		"used for almost 12 hours":       {append(slices.Repeat([]time.Duration{20 * time.Minute}, 35), 20*time.Minute-ms), nil},
		"used for 12 hours":              {slices.Repeat([]time.Duration{20 * time.Minute}, 36), ErrNotFound},
		"a use within a minute is lost":  {[]time.Duration{time.Minute - ms, 29*time.Minute + ms}, ErrNotFound},
		"a use after a minute is kept":   {[]time.Duration{time.Minute, 29*time.Minute + ms}, nil},
		"the clock goes back by an hour": {[]time.Duration{-time.Hour}, nil},
	} {
		clock := newClock()
		db := newPlace(t).open(t, clock)
		_, cookie := login(t, db, Login{User: "ada"})
		var err error
		for _, d := range c.uses {
			clock.advance(d)
			_, err = db.Sessions.Find(t.Context(), cookie)
		}
		want(t, name, err, c.want)
		listed, err := db.Sessions.List(t.Context(), "ada")
		want(t, name, err, nil)
		count, err := db.Sessions.Count(t.Context())
		want(t, name, err, nil)
		if valid := c.want == nil; valid != (len(listed) == 1) || valid != (count == 1) {
			t.Errorf("%s: %d are listed, %d are counted", name, len(listed), count)
		}
	}
}

// TestSessionLimitsOfNow: shorter limits hold for the sessions that exist, and
// longer ones from their next use. Without limits no session is valid.
func TestSessionLimitsOfNow(t *testing.T) { onEach(t, testSessionLimitsOfNow) }

func testSessionLimitsOfNow(t *testing.T, newPlace newPlace) {
	for name, c := range map[string]struct {
		idle, max time.Duration
		after     time.Duration
		want      error
	}{
		"the same":             {30 * time.Minute, 12 * time.Hour, 20 * time.Minute, nil},
		"less idle time":       {20 * time.Minute, 12 * time.Hour, 20 * time.Minute, ErrNotFound},
		"a shorter session":    {30 * time.Minute, 20 * time.Minute, 20 * time.Minute, ErrNotFound},
		"more, but was ended":  {24 * time.Hour, 24 * time.Hour, 30 * time.Minute, ErrNotFound},
		"more, and still used": {24 * time.Hour, 24 * time.Hour, 29 * time.Minute, nil},
		"no idle time":         {0, 12 * time.Hour, 0, ErrNotFound},
		"no session":           {30 * time.Minute, 0, 0, ErrNotFound},
	} {
		clock := newClock()
		shared := newPlace(t)
		_, cookie := login(t, shared.open(t, clock), Login{User: "ada"})
		db := shared.openLimited(t, clock, limits{c.idle, c.max})
		clock.advance(c.after)
		_, err := db.Sessions.Find(t.Context(), cookie)
		want(t, name, err, c.want)
		if listed, err := db.Sessions.List(t.Context(), "ada"); err != nil || (c.want == nil) != (len(listed) == 1) {
			t.Errorf("%s: %d are listed, %v", name, len(listed), err)
		}
	}
}

// TestFindReadsOnly: within a minute a session is found while nothing can be
// written, and later too.
func TestFindReadsOnly(t *testing.T) {
	c := newClock()
	db := newFile(t).open(t, c)
	_, cookie := login(t, db, Login{User: "ada"})
	tx, err := fileOf(db).lazy.Begin()
	want(t, "begin", err, nil)
	defer func() { _ = tx.Rollback() }()
	for _, after := range []time.Duration{time.Minute - 1, time.Minute} {
		c.advance(after)
		ctx, cancel := context.WithTimeout(t.Context(), busyTimeout)
		_, err := db.Sessions.Find(ctx, cookie)
		want(t, fmt.Sprint("after ", after), err, nil)
		cancel()
	}
}

func TestSessionEnds(t *testing.T) { onEach(t, testSessionEnds) }

func testSessionEnds(t *testing.T, newPlace newPlace) {
	db := newPlace(t).open(t, nil)
	first, firstCookie := login(t, db, Login{User: "ada"})
	second, secondCookie := login(t, db, Login{User: "ada"})
	_, thirdCookie := login(t, db, Login{User: "ada"})
	bob, bobCookie := login(t, db, Login{User: "bob"})
	valid := func(what string, wanted ...bool) {
		t.Helper()
		for i, cookie := range []authz.Secret{firstCookie, secondCookie, thirdCookie, bobCookie} {
			if _, err := db.Sessions.Find(t.Context(), cookie); (err == nil) != wanted[i] {
				t.Errorf("%s: session %d: %v", what, i+1, err)
			}
		}
	}
	want(t, "one of another user", db.Sessions.End(t.Context(), 0, "ada", bob.ID), ErrNotFound)
	want(t, "without a user", db.Sessions.End(t.Context(), 0, "", bob.ID), ErrNotFound)
	want(t, "an unknown one", db.Sessions.End(t.Context(), 0, "ada", "s_"), ErrNotFound)
	valid("none ended", true, true, true, true)
	want(t, "one's own", db.Sessions.End(t.Context(), 0, "ada", first.ID), nil)
	want(t, "twice", db.Sessions.End(t.Context(), 0, "ada", first.ID), ErrNotFound)
	valid("one ended", false, true, true, true)
	if n, err := db.Sessions.EndUser(t.Context(), "ada", second.ID); n != 1 || err != nil {
		t.Errorf("all others: %d, %v", n, err)
	}
	valid("all others", false, true, false, true)
	if n, err := db.Sessions.EndUser(t.Context(), "bob", second.ID); n != 1 || err != nil {
		t.Errorf("all but another user's: %d, %v", n, err)
	}
	valid("all of bob", false, true, false, false)
	if n, err := db.Sessions.EndUser(t.Context(), "ada", ""); n != 1 || err != nil {
		t.Errorf("all: %d, %v", n, err)
	}
	valid("all", false, false, false, false)
}

// TestLoginReplacesSession: the cookie from before the login is worth nothing,
// even if it was another user's.
func TestLoginReplacesSession(t *testing.T) { onEach(t, testLoginReplacesSession) }

func testLoginReplacesSession(t *testing.T, newPlace newPlace) {
	db := newPlace(t).open(t, nil)
	_, before := login(t, db, Login{User: "bob"})
	_, elsewhere := login(t, db, Login{User: "ada"})
	_, after := login(t, db, Login{User: "ada", Replaces: before})
	for name, c := range map[string]struct {
		cookie authz.Secret
		want   error
	}{"before": {before, ErrNotFound}, "elsewhere": {elsewhere, nil}, "after": {after, nil}} {
		_, err := db.Sessions.Find(t.Context(), c.cookie)
		want(t, name, err, c.want)
	}
}

// TestSessionsPerUser: a login too many ends the session that was not used for
// longest, and none of another user.
func TestSessionsPerUser(t *testing.T) { onEach(t, testSessionsPerUser) }

func testSessionsPerUser(t *testing.T, newPlace newPlace) {
	c := newClock()
	db := newPlace(t).open(t, c)
	_, bob := login(t, db, Login{User: "bob"})
	var cookies []authz.Secret
	for range maxSessionsPerUser {
		c.advance(time.Second)
		_, cookie := login(t, db, Login{User: "ada"})
		cookies = append(cookies, cookie)
	}
	c.advance(2 * time.Minute)
	for _, cookie := range append(cookies[:1:1], bob) {
		_, err := db.Sessions.Find(t.Context(), cookie)
		want(t, "use", err, nil)
	}
	_, last := login(t, db, Login{User: "ada"})
	for name, c := range map[string]struct {
		cookie authz.Secret
		want   error
	}{"used": {cookies[0], nil}, "not used": {cookies[1], ErrNotFound}, "later": {cookies[2], nil}, "last": {last, nil}, "bob": {bob, nil}} {
		_, err := db.Sessions.Find(t.Context(), c.cookie)
		want(t, name, err, c.want)
	}
	if n := rows(t, db, "state_session"); n != maxSessionsPerUser+1 {
		t.Errorf("%d sessions", n)
	}
}

// TestUnreadableSession: a row that this program did not write is a session without
// roles, which hides no other one and can be shown and ended.
func TestUnreadableSession(t *testing.T) { onEach(t, testUnreadableSession) }

func testUnreadableSession(t *testing.T, newPlace newPlace) {
	db := newPlace(t).open(t, newClock())
	login(t, db, Login{User: "ada", Roles: []string{"keyward:admin"}})
	spoilt, _ := login(t, db, Login{User: "ada", Roles: []string{"keyward:admin"}})
	for what, set := range map[string]string{
		"roles": `roles = '["keyward:admin"'`, "roles of another type": `roles = '[1]'`, "late": `seen = 9223372036854775807, login = 9223372036854775807, expires = 9223372036854775807`,
		"early": `seen = -9223372036854775808, login = -9223372036854775808`,
	} {
		_, err := db.changeOne(t.Context(), processExit, 0, `UPDATE state_session SET `+set+` WHERE id = ?1`, spoilt.ID)
		want(t, what, err, nil)
		sessions, err := db.Sessions.List(t.Context(), "ada")
		want(t, what, err, nil)
		for _, session := range sessions {
			_, err := json.Marshal(session)
			want(t, what, err, nil)
			if other := session.ID != spoilt.ID; other != (len(session.Roles) == 1) && strings.Contains(what, "roles") {
				t.Errorf("%s: %+v", what, session)
			}
		}
		if len(sessions) == 0 {
			t.Errorf("%s: no session is listed", what)
		}
	}
	want(t, "end", db.Sessions.End(t.Context(), 0, "ada", spoilt.ID), nil)
	hash := "convert_to(i::text, 'UTF8')"
	if _, file := db.storage.(*stateFile); file {
		hash = "CAST(i AS BLOB)"
	}
	_, err := db.changeOne(t.Context(), processExit, 0, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		INSERT INTO state_session (hash, id, "user", login_method, roles, address, login, seen, expires)
		SELECT `+hash+`, 's_' || CAST(i AS TEXT), 'ada', 'password', 'null', '', login, seen, expires FROM n, state_session AS s WHERE s."user" = 'ada'`, 2*maxSessionsPerUser)
	want(t, "more than a user has", err, nil)
	if sessions, err := db.Sessions.List(t.Context(), "ada"); len(sessions) != maxSessionsPerUser || err != nil {
		t.Errorf("%d sessions, %v", len(sessions), err)
	}
}
