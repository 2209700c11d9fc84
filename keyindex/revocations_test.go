package keyindex

import (
	"fmt"
	"testing"
	"time"

	"keyward/store"
)

func revocationsOf(t *testing.T, records ...store.Revocation) *Revocations {
	t.Helper()
	v := NewRevocations()
	set := v.Begin()
	for _, r := range records {
		if _, err := set.Apply(&r); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
	}
	v.Commit(set)
	return v
}

// TestRevoked is the policy: which token is ended by which revocations.
func TestRevoked(t *testing.T) {
	february, march := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var (
		token   = store.Revocation{TokenID: "t1", At: loadedAt}
		session = store.Revocation{SessionID: "s1", At: loadedAt}
		alice2  = store.Revocation{Subject: "alice", IssuedBefore: february, At: loadedAt}
		alice3  = store.Revocation{Subject: "alice", IssuedBefore: march, At: loadedAt}
		cafe    = store.Revocation{Subject: "caf\u00e9", IssuedBefore: february, At: loadedAt}
		cafe2   = store.Revocation{Subject: "cafe\u0301", IssuedBefore: february, At: loadedAt}
		all     = store.Revocation{IssuedBefore: february, At: loadedAt}
	)
	before, after, late := february.Add(-1), february.Add(1), february.AddDate(1, 0, 0)
	for _, c := range []struct {
		name    string
		records []store.Revocation
		token   Token
		want    bool
	}{
		{"nothing revoked", nil, Token{ID: "t1", SessionID: "s1", Subject: "alice", IssuedAt: before}, false},
		{"nothing revoked, no claims", nil, Token{}, false},
		{"the token", []store.Revocation{token}, Token{ID: "t1", Subject: "bob", IssuedAt: late}, true},
		{"the token, at any time", []store.Revocation{token}, Token{ID: "t1", IssuedAt: always.AddDate(1, 0, 0)}, true},
		{"another token", []store.Revocation{token}, Token{ID: "t2", Subject: "bob", IssuedAt: before}, false},
		{"the id in other case", []store.Revocation{token}, Token{ID: "T1", Subject: "bob", IssuedAt: before}, false},
		{"a token without id", []store.Revocation{token}, Token{SessionID: "t1", Subject: "t1", IssuedAt: before}, false},
		{"the session", []store.Revocation{session}, Token{ID: "t2", SessionID: "s1", Subject: "bob", IssuedAt: late}, true},
		{"another session", []store.Revocation{session}, Token{ID: "t2", SessionID: "s2", Subject: "bob", IssuedAt: before}, false},
		{"no session", []store.Revocation{session}, Token{ID: "s1", Subject: "s1", IssuedAt: before}, false},
		{"the subject, before", []store.Revocation{alice2}, Token{ID: "t2", Subject: "alice", IssuedAt: before}, true},
		{"the subject, at that time", []store.Revocation{alice2}, Token{ID: "t2", Subject: "alice", IssuedAt: february}, false},
		{"the subject, after", []store.Revocation{alice2}, Token{ID: "t2", Subject: "alice", IssuedAt: after}, false},
		{"the subject, at no time", []store.Revocation{alice2}, Token{ID: "t2", Subject: "alice"}, true},
		{"another subject", []store.Revocation{alice2}, Token{ID: "t2", Subject: "bob", IssuedAt: before}, false},
		{"another subject, at no time", []store.Revocation{alice2}, Token{ID: "t2", Subject: "bob"}, false},
		{"no subject", []store.Revocation{alice2}, Token{ID: "t2", SessionID: "alice", IssuedAt: before}, false},
		{"the subject with its accent apart", []store.Revocation{cafe}, Token{Subject: "cafe\u0301", IssuedAt: before}, true},
		{"the subject with its accent in the letter", []store.Revocation{cafe2}, Token{Subject: "caf\u00e9", IssuedAt: before}, true},
		{"the subject as the record has it", []store.Revocation{cafe2}, Token{Subject: "cafe\u0301", IssuedAt: before}, true},
		{"another subject than one with an accent", []store.Revocation{cafe, cafe2}, Token{Subject: "cafe", IssuedAt: before}, false},
		{"the token's id with its accent apart", []store.Revocation{{TokenID: "\u00e9", At: loadedAt}}, Token{ID: "e\u0301", IssuedAt: late}, true},
		{"a later time wins", []store.Revocation{alice2, alice3}, Token{Subject: "alice", IssuedAt: after}, true},
		{"in either order", []store.Revocation{alice3, alice2}, Token{Subject: "alice", IssuedAt: after}, true},
		{"everyone, before", []store.Revocation{all}, Token{ID: "t2", Subject: "bob", IssuedAt: before}, true},
		{"everyone, no claims", []store.Revocation{all}, Token{}, true},
		{"everyone, after", []store.Revocation{all}, Token{ID: "t2", Subject: "bob", IssuedAt: february}, false},
		{"an earlier time takes nothing back", []store.Revocation{{IssuedBefore: march, At: loadedAt}, all}, Token{Subject: "bob", IssuedAt: after}, true},
		{"each for itself", []store.Revocation{token, session, alice3, all}, Token{ID: "t1", SessionID: "s1", Subject: "bob", IssuedAt: late}, true},
		{"not supported, of a session", []store.Revocation{{SessionID: "s1", Unsupported: true}}, Token{SessionID: "s1", IssuedAt: late}, true},
		{"not supported, of another session", []store.Revocation{{SessionID: "s1", Unsupported: true}}, Token{ID: "t1", SessionID: "s2", IssuedAt: late}, false},
	} {
		if got := revocationsOf(t, c.records...).Revoked(c.token); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if v := NewRevocations(); !v.Revoked(Token{ID: "t", Subject: "s", IssuedAt: late}) || v.Ready() == nil {
		t.Error("lets a token through before anything is loaded")
	}
}

// TestRevocationsEnd is the policy: until when a revocation counts, and what is kept of
// several about one name.
func TestRevocationsEnd(t *testing.T) {
	end := loadedAt.Add(store.UntilMargin)
	by := func(r store.Revocation, until time.Time) store.Revocation {
		r.At, r.Until = loadedAt.Add(-time.Hour), until
		return r
	}
	later := loadedAt.Add(time.Hour)
	id, session := store.Revocation{TokenID: "t1"}, store.Revocation{SessionID: "s1"}
	alice := store.Revocation{Subject: "alice", IssuedBefore: loadedAt.Add(-time.Minute)}
	all := store.Revocation{IssuedBefore: loadedAt.Add(-time.Minute)}
	unsupported := by(id, loadedAt)
	unsupported.Unsupported = true
	mistaken, tooEarly := by(id, loadedAt.Add(-2*time.Hour)), by(all, loadedAt.Add(-2*time.Minute))
	for _, c := range []struct {
		name    string
		records []store.Revocation
		now     time.Time
		want    bool
	}{
		{"of a token, in force", []store.Revocation{by(id, loadedAt)}, end.Add(-time.Microsecond), true},
		{"of a token, over", []store.Revocation{by(id, loadedAt)}, end, false},
		{"of a session, in force", []store.Revocation{by(session, loadedAt)}, end.Add(-time.Microsecond), true},
		{"of a session, over", []store.Revocation{by(session, loadedAt)}, end, false},
		{"of a subject, in force", []store.Revocation{by(alice, loadedAt)}, end.Add(-time.Microsecond), true},
		{"of a subject, over", []store.Revocation{by(alice, loadedAt)}, end, false},
		{"of all, in force", []store.Revocation{by(all, loadedAt)}, end.Add(-time.Microsecond), true},
		{"of all, over", []store.Revocation{by(all, loadedAt)}, end, false},
		{"without an end", []store.Revocation{by(id, time.Time{})}, end.AddDate(10, 0, 0), true},
		{"without an end, and then with one", []store.Revocation{by(id, time.Time{}), by(id, loadedAt)}, end.AddDate(10, 0, 0), true},
		{"with an end, and then without", []store.Revocation{by(id, loadedAt), by(id, time.Time{})}, end.AddDate(10, 0, 0), true},
		{"the later end", []store.Revocation{by(id, later), by(id, loadedAt)}, end, true},
		{"the later end, in another order", []store.Revocation{by(id, loadedAt), by(id, later)}, end, true},
		{"both over", []store.Revocation{by(id, later), by(id, loadedAt)}, end.Add(time.Hour), false},
		{"with an end before it was made", []store.Revocation{mistaken}, end, true},
		{"with an end before what it names was issued", []store.Revocation{tooEarly}, end, true},
		{"not supported", []store.Revocation{unsupported}, end.AddDate(10, 0, 0), true},
	} {
		now := loadedAt
		v := NewRevocations()
		v.UseClock(func() time.Time { return now })
		for _, loading := range []string{"held when they end", "loaded later"} {
			set := v.Begin()
			for _, r := range c.records {
				if _, err := set.Apply(&r); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := set.Apply(&store.Revocation{TokenID: "another", At: now}); err != nil {
				t.Fatal(err)
			}
			if err := v.Undone(set, c.now); err != nil {
				t.Errorf("%s, %s: %v", c.name, loading, err)
			}
			v.Commit(set)
			now = c.now
			if _, err := set.Apply(&store.Revocation{TokenID: "another", At: now}); err != nil { // which removes what has ended
				t.Fatal(err)
			}
			if got := v.Revoked(Token{ID: "t1", SessionID: "s1", Subject: "alice", IssuedAt: loadedAt.Add(-time.Hour)}); got != c.want {
				t.Errorf("%s, %s: %v", c.name, loading, got)
			}
		}
		next := v.Begin()
		if _, err := next.Apply(&store.Revocation{TokenID: "another", At: now}); err != nil {
			t.Fatal(err)
		}
		if undone := v.Undone(next, c.now) != nil; undone != c.want {
			t.Errorf("%s: a file without it undoes it: %v", c.name, undone)
		}
	}
}

// TestRevocationsAreRemoved: of revocations that have ended few are held for long,
// however many there were, and all of those in force.
func TestRevocationsAreRemoved(t *testing.T) {
	const each = 5000
	now := loadedAt
	v := NewRevocations()
	v.UseClock(func() time.Time { return now })
	set := v.Begin().(*revocationSet)
	v.Commit(set)
	for round := range 5 {
		for i := range each {
			id := fmt.Sprint(round, " ", i)
			for _, r := range []store.Revocation{{TokenID: id}, {SessionID: id}, {Subject: id, IssuedBefore: now}, {IssuedBefore: now}} {
				r.At, r.Until = now, now.Add(time.Hour)
				if _, err := set.Apply(&r); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range each {
			id := fmt.Sprint(round, " ", i)
			if !v.Revoked(Token{ID: id, IssuedAt: now}) || !v.Revoked(Token{SessionID: id, IssuedAt: now}) || !v.Revoked(Token{Subject: id, IssuedAt: now.Add(-1)}) {
				t.Fatalf("%s is not revoked", id)
			}
		}
		now = now.Add(time.Hour + store.UntilMargin)
	}
	if held := len(set.tokens) + len(set.sessions) + len(set.subjects); held > 2*3*each {
		t.Errorf("%d of %d are held", held, 5*3*each)
	}
}

// TestNotAhead: the clock by which revocations end goes back with the machine's, and forward only
// as time passes.
func TestNotAhead(t *testing.T) {
	start := time.Now()
	clock, elapsed := start, time.Duration(0)
	now := notAhead(func() time.Time { return clock }, start, func() time.Duration { return elapsed })
	for _, c := range []struct{ jump, passed, want time.Duration }{
		{0, 0, 0},
		{time.Minute, time.Minute, time.Minute},
		{40 * 24 * time.Hour, 2 * time.Minute, 2 * time.Minute},
		{-time.Hour, 3 * time.Minute, -time.Hour},
		{4 * time.Minute, 4 * time.Minute, 4 * time.Minute},
	} {
		clock, elapsed = start.Round(0).Add(c.jump), c.passed
		if got := now(); !got.Equal(start.Add(c.want)) {
			t.Errorf("%v by the clock, %v passed: %v, want %v", c.jump, c.passed, got.Sub(start.Round(0)), c.want)
		}
	}
}
