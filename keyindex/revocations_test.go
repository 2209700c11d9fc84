package keyindex

import (
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
		token  = store.Revocation{TokenID: "t1", At: loadedAt}
		alice2 = store.Revocation{Subject: "alice", IssuedBefore: february, At: loadedAt}
		alice3 = store.Revocation{Subject: "alice", IssuedBefore: march, At: loadedAt}
		cafe   = store.Revocation{Subject: "caf\u00e9", IssuedBefore: february, At: loadedAt}
		cafe2  = store.Revocation{Subject: "cafe\u0301", IssuedBefore: february, At: loadedAt}
		all    = store.Revocation{IssuedBefore: february, At: loadedAt}
	)
	before, after, late := february.Add(-1), february.Add(1), february.AddDate(1, 0, 0)
	for _, c := range []struct {
		name         string
		records      []store.Revocation
		jti, subject string
		issued       time.Time
		want         bool
	}{
		{"nothing revoked", nil, "t1", "alice", before, false},
		{"nothing revoked, no claims", nil, "", "", time.Time{}, false},
		{"the token", []store.Revocation{token}, "t1", "bob", late, true},
		{"another token", []store.Revocation{token}, "t2", "bob", before, false},
		{"the id in other case", []store.Revocation{token}, "T1", "bob", before, false},
		{"a token without id", []store.Revocation{token}, "", "t1", before, false},
		{"the subject, before", []store.Revocation{alice2}, "t2", "alice", before, true},
		{"the subject, at that time", []store.Revocation{alice2}, "t2", "alice", february, false},
		{"the subject, after", []store.Revocation{alice2}, "t2", "alice", after, false},
		{"the subject, at no time", []store.Revocation{alice2}, "t2", "alice", time.Time{}, true},
		{"another subject", []store.Revocation{alice2}, "t2", "bob", before, false},
		{"another subject, at no time", []store.Revocation{alice2}, "t2", "bob", time.Time{}, false},
		{"no subject", []store.Revocation{alice2}, "t2", "", before, false},
		{"the subject with its accent apart", []store.Revocation{cafe}, "", "cafe\u0301", before, true},
		{"the subject with its accent in the letter", []store.Revocation{cafe2}, "", "caf\u00e9", before, true},
		{"the subject as the record has it", []store.Revocation{cafe2}, "", "cafe\u0301", before, true},
		{"another subject than one with an accent", []store.Revocation{cafe, cafe2}, "", "cafe", before, false},
		{"the token's id with its accent apart", []store.Revocation{{TokenID: "\u00e9", At: loadedAt}}, "e\u0301", "", late, true},
		{"a later time wins", []store.Revocation{alice2, alice3}, "", "alice", after, true},
		{"in either order", []store.Revocation{alice3, alice2}, "", "alice", after, true},
		{"everyone, before", []store.Revocation{all}, "t2", "bob", before, true},
		{"everyone, no claims", []store.Revocation{all}, "", "", time.Time{}, true},
		{"everyone, after", []store.Revocation{all}, "t2", "bob", february, false},
		{"an earlier time takes nothing back", []store.Revocation{{IssuedBefore: march, At: loadedAt}, all}, "", "bob", after, true},
		{"each for itself", []store.Revocation{token, alice3, all}, "t1", "bob", late, true},
	} {
		if got := revocationsOf(t, c.records...).Revoked(c.jti, c.subject, c.issued); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if v := NewRevocations(); !v.Revoked("t", "s", late) || v.Ready() == nil {
		t.Error("lets a token through before anything is loaded")
	}
}
