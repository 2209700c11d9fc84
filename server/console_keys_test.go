package server_test

import (
	"fmt"
	"testing"
)

// TestUpdateKey: a merge patch changes what it gives, removes what is null, and is
// checked as a new key is.
func TestUpdateKey(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
	made := c.must("POST", "/keys", `{"name": "x", "user": "alice", "expires": "90d", "paths": ["/a"], "description": "of the shop", "owner": "team", "rate": "10/s"}`).body
	path, key := "/keys/"+made["id"].(string), made["key"].(string)
	for _, test := range []struct {
		patch  string
		status int
		member string
		want   any // nil: not there
	}{
		{`{"name": "y"}`, 200, "name", "y"},
		{`{"description": null}`, 200, "description", nil},
		{`{"owner": "ops"}`, 200, "owner", "ops"},
		{`{"expires": null}`, 200, "expires", nil},
		{`{"rate": null}`, 200, "rate", nil},
		{`{"scopes": []}`, 200, "scopes", []any{}},
		{`{"scopes": null}`, 200, "scopes", nil},
		{`{"paths": null}`, 200, "paths", nil},
		{`{"paths": ["/b"]}`, 200, "paths", []any{"/b"}},
		{`{"paths": []}`, 422, "paths", []any{"/b"}},
		{`{"cidrs": ["192.0.2.0/24"]}`, 200, "cidrs", []any{"192.0.2.0/24"}},
		{`{"cidrs": ["192.0.2.1/24"]}`, 422, "cidrs", []any{"192.0.2.0/24"}},
		{`{"not_before": "2020-01-01T00:00:00Z"}`, 200, "not_before", "2020-01-01T00:00:00Z"},
		{`{"name": ""}`, 422, "name", "y"},
		{`{"name": null}`, 422, "name", "y"},
		{`{"expires": ""}`, 422, "expires", nil},
		{`{"rate": "fast"}`, 422, "rate", nil},
		{`{"expires": "2020-01-01T00:00:00Z"}`, 422, "expires", nil},
		{`{"scopes": ["keyward:owner"]}`, 422, "scopes", nil},
		{`{"user": "root"}`, 422, "user", "alice"},
		{`{"revoked": null}`, 422, "name", "y"},
	} {
		got := c.call(c.admin, "PATCH", path, test.patch)
		now := c.must("GET", path, "").body
		if got.status != test.status || fmt.Sprint(now[test.member]) != fmt.Sprint(test.want) {
			t.Errorf("%s: %d, then %s is %v", test.patch, got.status, test.member, now[test.member])
		}
	}
	if status, reason := c.ask("/b", key); status != 200 {
		t.Errorf("within the path: %d %s", status, reason)
	}
	if status, reason := c.ask("/a", key); status != 403 || reason != "path_not_allowed" {
		t.Errorf("outside the path: %d %s", status, reason)
	}
	if status, reason := c.askFrom("198.51.100.1", "/b", key); status != 403 || reason != "address_not_allowed" {
		t.Errorf("from another network: %d %s", status, reason)
	}
	c.must("POST", path+"/revoke", `{"reason": "leaked"}`)
	if got := c.call(c.admin, "PATCH", path, `{"name": "z"}`); got.status != 409 {
		t.Errorf("an ended key: %d", got.status)
	}
	ending := c.must("GET", path, "").body["ending"].(map[string]any)
	if ending["by"] != "root" || ending["reason"] != "leaked" || ending["via"] != "api" {
		t.Errorf("%v", ending)
	}
}

// TestPausedKey: a paused key is refused at once, and resumed with the same secret.
func TestPausedKey(t *testing.T) {
	c := startConsole(t)
	made := c.must("POST", "/keys", `{"name": "x"}`).body
	path, key := "/keys/"+made["id"].(string), made["key"].(string)
	for range 3 {
		paused := c.must("POST", path+"/pause", `{"reason": "holiday"}`).body
		if paused["state"] != "paused" || paused["paused"].(map[string]any)["reason"] != "holiday" {
			t.Errorf("%v", paused)
		}
		if status, reason := c.ask("/", key); status != 401 || reason != "paused_key" {
			t.Errorf("paused: %d %s", status, reason)
		}
		c.must("POST", path+"/resume", "")
		if status, reason := c.ask("/", key); status != 200 {
			t.Errorf("resumed: %d %s", status, reason)
		}
	}
	// A paused key may not manage, and a bounded caller may not resume what it could not make.
	admin := c.must("POST", "/keys", `{"name": "a", "user": "root", "scopes": ["keyward:admin"]}`).body
	c.must("POST", "/keys/"+admin["id"].(string)+"/pause", "")
	if got := c.call(admin["key"].(string), "GET", "/me", ""); got.status != 401 {
		t.Errorf("as a caller: %d", got.status)
	}
	c.must("POST", "/users", `{"name": "ops", "scopes": ["keyward:keys", "read"]}`)
	ops := c.must("POST", "/keys", `{"name": "ops", "user": "ops", "scopes": ["keyward:keys", "read"]}`).body["key"].(string)
	if got := c.call(ops, "POST", path+"/pause", ""); got.status != 200 {
		t.Errorf("pause by a bounded caller: %d %v", got.status, got.body)
	}
	if got := c.call(ops, "POST", path+"/resume", ""); got.status != 403 || got.body["type"] != "https://keyward.dev/errors/beyond_caller" {
		t.Errorf("resume by a bounded caller: %d %v", got.status, got.body)
	}
}

// TestEndGrace: the secret that a rotation replaced ends before its grace does.
func TestEndGrace(t *testing.T) {
	c := startConsole(t)
	made := c.must("POST", "/keys", `{"name": "x"}`).body
	path, old := "/keys/"+made["id"].(string), made["key"].(string)
	fresh := c.must("POST", path+"/rotate", `{"grace": "24h"}`).body["key"].(string)
	for _, key := range []string{old, fresh} {
		if status, reason := c.ask("/", key); status != 200 {
			t.Errorf("during the grace: %d %s", status, reason)
		}
	}
	if got := c.must("POST", path+"/end-grace", "").body; got["previous_until"] != nil {
		t.Errorf("%v", got)
	}
	for key, want := range map[string]int{old: 401, fresh: 200} {
		if status, reason := c.ask("/", key); status != want {
			t.Errorf("after the grace: %d %s, want %d", status, reason, want)
		}
	}
}

// TestNetworksOfCallers: a caller that is limited to networks hands out no key for
// others.
func TestNetworksOfCallers(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "ops", "scopes": ["keyward:keys", "read"]}`)
	// The callers of the test come over a unix socket and have no address.
	ops := c.must("POST", "/keys", `{"name": "ops", "user": "ops", "scopes": ["keyward:keys", "read"], "cidrs": ["192.0.2.0/24"]}`).body["key"].(string)
	if got := c.call(ops, "GET", "/me", ""); got.status != 403 {
		t.Errorf("from an unknown address: %d %v", got.status, got.body)
	}
}
