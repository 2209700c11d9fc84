package store

import (
	"testing"
	"time"
)

// TestKeyFilter: which conditions select which key.
func TestKeyFilter(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	rules := KeyRules{MaxAge: 100 * day, Ended: EndedUsers{"gone": now}}
	used := map[string]time.Time{"k_used": now.Add(-10 * day)}
	old := now.Add(-20 * day)
	for name, c := range map[string]struct {
		filter KeyFilter
		key    KeyRecord
		want   bool
	}{
		"nothing is wanted":               {KeyFilter{}, KeyRecord{}, true},
		"the user":                        {KeyFilter{User: "alice"}, KeyRecord{User: "alice"}, true},
		"another user":                    {KeyFilter{User: "alice"}, KeyRecord{User: "bob"}, false},
		"the project":                     {KeyFilter{Project: "shop"}, KeyRecord{Project: "shop"}, true},
		"another project":                 {KeyFilter{Project: "shop"}, KeyRecord{Project: "blog"}, false},
		"the user in another project":     {KeyFilter{User: "alice", Project: "shop"}, KeyRecord{User: "alice"}, false},
		"a part of the name":              {KeyFilter{Text: "loy"}, KeyRecord{Name: "deploy"}, true},
		"the hint":                        {KeyFilter{Text: "kw_abcd"}, KeyRecord{Hint: "kw_abcd"}, true},
		"a part of the hint":              {KeyFilter{Text: "kw_"}, KeyRecord{Hint: "kw_abcd"}, false},
		"a part of the id":                {KeyFilter{Text: "k_us"}, KeyRecord{ID: "k_used"}, false},
		"active":                          {KeyFilter{State: KeyActive}, KeyRecord{Created: old}, true},
		"active, of a deleted user":       {KeyFilter{State: KeyActive}, KeyRecord{Created: old, User: "gone"}, false},
		"revoked, of a deleted user":      {KeyFilter{State: KeyRevoked}, KeyRecord{Created: old, User: "gone"}, true},
		"revoked":                         {KeyFilter{State: KeyRevoked}, KeyRecord{Created: old, Revoked: now}, true},
		"paused":                          {KeyFilter{State: KeyPaused}, KeyRecord{Created: old, Paused: &Pause{}}, true},
		"expired":                         {KeyFilter{State: KeyExpired}, KeyRecord{Created: old, Expires: now}, true},
		"expired by its age":              {KeyFilter{State: KeyExpired}, KeyRecord{Created: now.Add(-100 * day)}, true},
		"expired, and rotated since":      {KeyFilter{State: KeyExpired}, KeyRecord{Created: now.Add(-100 * day), Rotated: old}, false},
		"older":                           {KeyFilter{OlderThan: 19 * day}, KeyRecord{Created: old}, true},
		"as old":                          {KeyFilter{OlderThan: 20 * day}, KeyRecord{Created: old}, false},
		"older, and rotated since":        {KeyFilter{OlderThan: 19 * day}, KeyRecord{Created: old, Rotated: now}, false},
		"unused":                          {KeyFilter{UnusedFor: 9 * day}, KeyRecord{ID: "k_used", Created: old}, true},
		"used":                            {KeyFilter{UnusedFor: 10 * day}, KeyRecord{ID: "k_used", Created: old}, false},
		"never used":                      {KeyFilter{UnusedFor: 19 * day}, KeyRecord{ID: "k_new", Created: old}, true},
		"never used, and not old enough":  {KeyFilter{UnusedFor: 20 * day}, KeyRecord{ID: "k_new", Created: old}, false},
		"expires within":                  {KeyFilter{Expiring: day}, KeyRecord{Created: old, Expires: now.Add(day)}, true},
		"expires later":                   {KeyFilter{Expiring: day}, KeyRecord{Created: old, Expires: now.Add(day + 1)}, false},
		"expires within, by its age":      {KeyFilter{Expiring: 80 * day}, KeyRecord{Created: old}, true},
		"expires within, and revoked":     {KeyFilter{Expiring: day}, KeyRecord{Created: old, Expires: now.Add(day), Revoked: now}, false},
		"expires within, and is expired":  {KeyFilter{Expiring: day}, KeyRecord{Created: old, Expires: now}, false},
		"expires within, but not paused":  {KeyFilter{Expiring: day, State: KeyPaused}, KeyRecord{Created: old, Expires: now.Add(day)}, false},
		"expires within, and that paused": {KeyFilter{Expiring: day, State: KeyPaused}, KeyRecord{Created: old, Expires: now.Add(day), Paused: &Pause{}}, true},
	} {
		c.filter.Rules, c.filter.Now, c.filter.LastUse = rules, now, func(id string) time.Time { return used[id] }
		if got := c.filter.Match(&c.key); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	unknown := KeyFilter{UnusedFor: day, Now: now}
	if unknown.Match(&KeyRecord{Created: old}) {
		t.Error("a key of which no use is known counts as unused")
	}
}
