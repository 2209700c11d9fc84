package access

import (
	"net/netip"
	"testing"
	"time"

	"keyward/authz"
	"keyward/store"
)

// TestBounds has one actor for each way of being bounded, and what it may not hand
// out. Each line is one member of the key that says more than the actor has.
func TestBounds(t *testing.T) {
	end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	user := store.UserRecord{Name: "ops", Scopes: []string{ScopeKeys, "read", "write"}}
	bounded := store.UserRecord{Name: "ops", Scopes: []string{ScopeKeys, "read"}, Paths: []string{"/api"}}
	own := func(k store.KeyRecord) store.KeyRecord {
		k.User, k.Created = "ops", end.Add(-time.Hour)
		return k
	}
	listed := list(ScopeKeys, "read")
	read := list("read")
	for _, c := range []struct {
		what   string
		user   store.UserRecord
		actor  store.KeyRecord
		key    store.KeyRecord
		member string // by which the key is beyond the actor
	}{
		{"the user's scopes, of a key that has them too", user, store.KeyRecord{}, store.KeyRecord{User: "ops"}, ""},
		{"the user's scopes, of a key with fewer", user, store.KeyRecord{Scopes: listed}, store.KeyRecord{User: "ops"}, "scopes"},
		{"another user's scopes", user, store.KeyRecord{}, store.KeyRecord{User: "other"}, "scopes"},
		{"no user and no list of scopes", user, store.KeyRecord{}, store.KeyRecord{}, "scopes"},
		{"fewer scopes", user, store.KeyRecord{Scopes: listed}, store.KeyRecord{User: "other", Scopes: read}, ""},
		{"no scopes", user, store.KeyRecord{Scopes: listed}, store.KeyRecord{User: "other", Scopes: list()}, ""},
		{"one more scope", user, store.KeyRecord{Scopes: listed}, store.KeyRecord{User: "ops", Scopes: list("read", "write")}, "scopes"},
		{"a managing scope that the actor has", user, store.KeyRecord{Scopes: listed}, store.KeyRecord{User: "ops", Scopes: listed}, "scopes"},
		{"a managing scope that is not known", user, store.KeyRecord{}, store.KeyRecord{User: "ops", Scopes: list("keyward:owner")}, "scopes"},

		{"the user's paths, of a key without its own", bounded, store.KeyRecord{}, store.KeyRecord{User: "ops"}, ""},
		{"the user's paths, of a key with its own", bounded, store.KeyRecord{Paths: []string{"/api/v1"}}, store.KeyRecord{User: "ops"}, "paths"},
		{"another user's paths", bounded, store.KeyRecord{}, store.KeyRecord{User: "other", Scopes: read}, "paths"},
		{"another user's paths, of an actor without bounds", user, store.KeyRecord{}, store.KeyRecord{User: "other", Scopes: read}, ""},
		{"a path below", bounded, store.KeyRecord{Paths: []string{"/api/v1"}}, store.KeyRecord{User: "ops", Paths: []string{"/api/v1/x"}}, ""},
		{"a path beside", bounded, store.KeyRecord{Paths: []string{"/api/v1"}}, store.KeyRecord{User: "ops", Paths: []string{"/api/v1/x", "/api/v2"}}, "paths"},
		{"a path of the key's that the user may not use", bounded, store.KeyRecord{Paths: []string{"/"}}, store.KeyRecord{User: "ops", Paths: []string{"/admin"}}, "paths"},
		{"a path that cannot be one", bounded, store.KeyRecord{}, store.KeyRecord{User: "ops", Paths: []string{"/api/../admin"}}, "paths"},

		{"the actor's project", user, store.KeyRecord{Project: "p"}, store.KeyRecord{User: "ops", Project: "p"}, ""},
		{"no project", user, store.KeyRecord{Project: "p"}, store.KeyRecord{User: "ops"}, ""},
		{"another project", user, store.KeyRecord{Project: "p"}, store.KeyRecord{User: "ops", Project: "q"}, "project"},
		{"a project, of an actor without one", user, store.KeyRecord{}, store.KeyRecord{User: "ops", Project: "q"}, "project"},

		{"the same end", user, store.KeyRecord{Expires: end}, store.KeyRecord{User: "ops", Expires: end}, ""},
		{"a later end", user, store.KeyRecord{Expires: end}, store.KeyRecord{User: "ops", Expires: end.Add(1)}, "expires"},
		{"no end", user, store.KeyRecord{Expires: end}, store.KeyRecord{User: "ops"}, "expires"},

		{"the actor's network", user, store.KeyRecord{CIDRs: networks("192.0.2.0/24")}, store.KeyRecord{User: "ops", CIDRs: networks("192.0.2.0/24")}, ""},
		{"a part of it", user, store.KeyRecord{CIDRs: networks("192.0.2.0/24", "2001:db8::/32")}, store.KeyRecord{User: "ops", CIDRs: networks("192.0.2.128/25", "2001:db8::1/128")}, ""},
		{"a wider network", user, store.KeyRecord{CIDRs: networks("192.0.2.0/24")}, store.KeyRecord{User: "ops", CIDRs: networks("192.0.0.0/16")}, "cidrs"},
		{"another network", user, store.KeyRecord{CIDRs: networks("192.0.2.0/24")}, store.KeyRecord{User: "ops", CIDRs: networks("192.0.2.0/25", "198.51.100.0/24")}, "cidrs"},
		{"any network", user, store.KeyRecord{CIDRs: networks("192.0.2.0/24")}, store.KeyRecord{User: "ops"}, "cidrs"},

		{"the actor's rate", user, store.KeyRecord{Rate: "10/h"}, store.KeyRecord{User: "ops", Rate: "10/h"}, ""},
		{"a higher rate", user, store.KeyRecord{Rate: "10/h"}, store.KeyRecord{User: "ops", Rate: "11/h"}, "rate"},
		{"the usual rate, of an actor with a lower one", user, store.KeyRecord{Rate: "10/h"}, store.KeyRecord{User: "ops"}, "rate"},
		{"the usual rate", user, store.KeyRecord{}, store.KeyRecord{User: "ops"}, ""},
		{"a higher one than the usual rate", user, store.KeyRecord{}, store.KeyRecord{User: "ops", Rate: "1001/h"}, "rate"},
		{"a rate that cannot be one", user, store.KeyRecord{}, store.KeyRecord{User: "ops", Rate: "fast"}, "rate"},
	} {
		key := own(c.actor)
		a := KeyActor(&key, &c.user, end.Add(-time.Minute), Call{})
		if !a.Known() {
			t.Fatal(c.what)
		}
		if got := a.KeyBeyond(&c.key, authz.Rate{Count: 1000, Period: time.Hour}, false); got != c.member {
			t.Errorf("%s: beyond by %q, want %q", c.what, got, c.member)
		}
	}
}

func networks(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func list(scopes ...string) *[]string {
	if scopes == nil {
		scopes = []string{}
	}
	return &scopes
}
