package server_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/store"
)

// TestKeyFilters: each filter of GET /keys selects what it says, and they combine.
func TestKeyFilters(t *testing.T) {
	const day = 24 * time.Hour
	c := startConsoleWith(t, "usage: {file: DIR/usage.jsonl, flush: 1s}\n")
	made := func(name string, ago time.Duration, p store.KeyParams) (id, secret string) {
		t.Helper()
		at := time.Now().Add(-ago)
		p.Name, p.Prefix = name, "kw_"
		if !p.Expires.IsZero() {
			p.Expires = at.Add(time.Until(p.Expires) + ago)
		}
		r, key, err := c.keys(func() time.Time { return at }).Create(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return r.ID, key.Reveal()
	}
	c.must("POST", "/users", `{"name": "alice"}`)
	c.must("POST", "/users", `{"name": "carol"}`)
	_, used := made("busy", 100*day, store.KeyParams{User: "alice", Project: "shop"})
	unused, _ := made("idle", 100*day, store.KeyParams{User: "alice"})
	made("ending", 20*day, store.KeyParams{User: "bob", Project: "shop", Expires: time.Now().Add(10 * day)})
	made("expired", 100*day, store.KeyParams{User: "bob", Expires: time.Now().Add(-50 * day)})
	made("later", 20*day, store.KeyParams{NotBefore: time.Now().Add(day)})
	made("orphan", 20*day, store.KeyParams{User: "carol"})
	pausedID, _ := made("paused", 20*day, store.KeyParams{})
	revokedID, _ := made("revoked", 20*day, store.KeyParams{Project: "shop"})
	c.must("DELETE", "/users/carol", "")
	c.must("POST", "/keys/"+pausedID+"/pause", "")
	c.must("POST", "/keys/"+revokedID+"/revoke", "")
	c.becomes("/", used, 200)

	for query, want := range map[string]string{
		"user=alice":                  "busy idle",
		"user=dave":                   "",
		"project=shop":                "busy ending revoked",
		"user=bob&project=shop":       "ending",
		"q=dle":                       "idle",
		"q=" + unused:                 "idle",
		"state=active&user=alice":     "busy idle",
		"state=paused":                "paused",
		"state=expired":               "expired",
		"state=not_yet_valid":         "later",
		"state=revoked":               "orphan revoked",
		"state=revoked&project=shop":  "revoked",
		"state=unsupported":           "",
		"expiring=11d":                "ending",
		"expiring=9d":                 "",
		"older_than=90d":              "busy expired idle",
		"older_than=90d&state=active": "busy idle",
		"older_than=101d":             "",
		"unused_for=90d":              "expired idle",
		"unused_for=90d&state=active": "idle",
		"unused_for=101d":             "",
	} {
		var names []string
		for _, item := range c.must("GET", "/keys?"+query, "").body["items"].([]any) {
			names = append(names, item.(map[string]any)["name"].(string))
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for query, want := range map[string]bool{"q=busy&user=alice&older_than=1d&project=shop": true, "q=" + unused: false} {
		item := c.must("GET", "/keys?"+query, "").body["items"].([]any)[0].(map[string]any)
		one := c.must("GET", "/keys/"+item["id"].(string), "").body
		if _, shown := item["last_use"].(string); shown != want || item["last_use"] != one["last_use"] {
			t.Errorf("%s: last_use %v in the list, %v of the key", query, item["last_use"], one["last_use"])
		}
	}
}
