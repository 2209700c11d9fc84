package access

import (
	"testing"
	"time"

	"keyward/store"
)

// TestSessionActor is the policy: whose session is worth something, and what.
func TestSessionActor(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	fresh := Session{ID: "s_1", Login: now, ByPassword: true}
	for what, c := range map[string]struct {
		user    store.UserRecord
		session Session
		known   bool
		admin   bool
	}{
		"a user":                          {store.UserRecord{Name: "a"}, fresh, true, false},
		"an administrator":                {store.UserRecord{Name: "a", Scopes: []string{ScopeAdmin}}, fresh, true, true},
		"a role of this login":            {store.UserRecord{Name: "a"}, Session{ID: "s_1", Login: now, Roles: []string{ScopeAdmin}}, true, true},
		"a scope that is not known":       {store.UserRecord{Name: "a"}, Session{ID: "s_1", Login: now, Roles: []string{"keyward:owner"}}, true, false},
		"no session":                      {store.UserRecord{Name: "a"}, Session{Login: now}, false, false},
		"no user":                         {store.UserRecord{}, fresh, false, false},
		"disabled":                        {store.UserRecord{Name: "a", Disabled: true}, fresh, false, false},
		"deleted":                         {store.UserRecord{Name: "a", Deleted: now.Add(-time.Hour)}, fresh, false, false},
		"a program":                       {store.UserRecord{Name: "a", Service: true}, fresh, false, false},
		"of a newer version":              {store.UserRecord{Name: "a", Unsupported: true}, fresh, false, false},
		"a name that is a key's id":       {store.UserRecord{Name: "k_123456789012"}, fresh, false, false},
		"sessions ended before":           {store.UserRecord{Name: "a", SessionsSince: now.Add(-1)}, fresh, true, false},
		"sessions ended at the login":     {store.UserRecord{Name: "a", SessionsSince: now}, fresh, false, false},
		"all ended":                       {store.UserRecord{Name: "a", ValidSince: now}, fresh, false, false},
		"a password to change":            {store.UserRecord{Name: "a", Scopes: []string{ScopeAdmin}, MustChange: true}, fresh, true, false},
		"a password, and not by password": {store.UserRecord{Name: "a", Scopes: []string{ScopeAdmin}, MustChange: true}, Session{ID: "s_1", Login: now}, true, true},
	} {
		a := SessionActor(&c.user, c.session, Call{})
		if a.Known() != c.known || a.Has(Admin) != c.admin || a.Unbounded() != c.admin || a.Known() && a.MustChange() == a.Has(Self) {
			t.Errorf("%s: known %t, roles %v", what, a.Known(), a.Roles())
		}
	}
}

// TestLinkActor: a link gives no role.
func TestLinkActor(t *testing.T) {
	a := LinkActor("alice", Call{})
	if !a.ByLink() || a.Name() != "alice" || len(a.Roles()) > 0 || a.User() != "" || a.Session() != "" || a.Unbounded() {
		t.Errorf("%+v", a)
	}
	if (Actor{}).ByLink() {
		t.Error("the zero Actor has a link")
	}
}
