package server_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestIdempotencyOfUser: the keys of a user are one caller. A request that was carried
// out is answered again to each of them that may make it, without the secret, and to no
// other; it changes nothing.
func TestIdempotencyOfUser(t *testing.T) {
	c := startConsole(t)
	key := func(settings string) string {
		return c.must("POST", "/keys", `{"name": "caller", "user": "root", `+settings+`}`).body["key"].(string)
	}
	target := c.must("POST", "/keys", `{"name": "target"}`).body["id"].(string)
	once := func(key, path, body string) response {
		return c.call(key, "POST", path, body, "Idempotency-Key", "once "+path)
	}
	callers := []struct {
		what, key string
		problems  map[string]string // by path; "" is the first answer
	}{
		{"a key with the same scope", key(`"scopes": ["keyward:admin"]`), nil},
		{"a key without scopes", key(`"scopes": []`), map[string]string{"/keys": "forbidden", "/rotate": "forbidden", "/revoke": "forbidden", "/keys/revoke": "forbidden", "/users": "forbidden", "/keys/verify": "forbidden"}},
		{"a key that reads", key(`"scopes": ["keyward:read"]`), map[string]string{"/keys": "forbidden", "/rotate": "forbidden", "/revoke": "forbidden", "/keys/revoke": "forbidden", "/users": "forbidden"}},
		{"a key that may do less than the result", key(`"scopes": ["keyward:keys", "keyward:users"], "paths": ["/a"]`), map[string]string{"/keys": "beyond_caller", "/users": "beyond_caller", "/rotate": "beyond_caller", "/keys/verify": "forbidden"}},
	}
	for _, request := range []struct{ name, path, body string }{
		{"/keys", "/keys", `{"name": "made"}`},
		{"/users", "/users", `{"name": "made"}`},
		{"/keys/verify", "/keys/verify", `{"key": "` + c.admin + `"}`},
		{"/rotate", "/keys/" + target + "/rotate", ""},
		{"/keys/revoke", "/keys/revoke", `{"ids": ["` + target + `"]}`},
		{"/revoke", "/keys/" + target + "/revoke", ""},
	} {
		first := once(c.admin, request.path, request.body)
		if first.status/100 != 2 {
			t.Fatalf("%s: %d %v", request.path, first.status, first.body)
		}
		if _, shown := first.body["key"]; shown {
			delete(first.body, "key")
			first.body["secret_shown"] = false
		}
		for _, caller := range callers {
			got, want := once(caller.key, request.path, request.body), caller.problems[request.name]
			problem, _ := got.body["type"].(string)
			switch problem = strings.TrimPrefix(problem, "https://keyward.dev/errors/"); {
			case problem != want:
				t.Errorf("%s by %s: %d %v, want %q", request.name, caller.what, got.status, got.body, want)
			case want == "" && (got.status != first.status || fmt.Sprint(got.body) != fmt.Sprint(first.body)):
				t.Errorf("%s by %s: %d %v, want %v", request.name, caller.what, got.status, got.body, first.body)
			}
		}
	}
	if n := len(c.must("GET", "/keys?q=made", "").body["items"].([]any)); n != 1 {
		t.Errorf("%d keys were made", n)
	}
	for action, want := range map[string]int{"key.rotate": 1, "key.revoke": 1, "user.create": 1} {
		done := 0
		for _, entry := range c.must("GET", "/audit?limit=1000&action="+action, "").body["items"].([]any) {
			if e := entry.(map[string]any); e["outcome"] == "done" && e["via"] == "api" {
				done++
			}
		}
		if done != want {
			t.Errorf("%s was carried out %d times, want %d", action, done, want)
		}
	}
}

// TestVerifyIsNotKept: a key that was verified and revoked since is not active, under
// whatever Idempotency-Key it is verified again.
func TestVerifyIsNotKept(t *testing.T) {
	c := startConsole(t)
	made := c.must("POST", "/keys", `{"name": "x"}`).body
	verify := func(want string) {
		t.Helper()
		got := c.call(c.admin, "POST", "/keys/verify", `{"key": "`+made["key"].(string)+`"}`, "Idempotency-Key", "one")
		if got.status != 200 || got.body["state"] != want {
			t.Errorf("%d %v, want %s", got.status, got.body["state"], want)
		}
	}
	verify("active")
	c.must("POST", "/keys/"+made["id"].(string)+"/revoke", "")
	verify("revoked")
}

// TestIdempotencyOfNextUser: a user that was deleted and made again is another caller,
// who does not get the answers of the one before.
func TestIdempotencyOfNextUser(t *testing.T) {
	c := startConsole(t)
	made := map[string]bool{}
	for range 2 {
		c.must("POST", "/users", `{"name": "eve", "scopes": ["keyward:keys"]}`)
		key := c.must("POST", "/keys", `{"name": "caller", "user": "eve", "scopes": ["keyward:keys"]}`).body["key"].(string)
		got := c.call(key, "POST", "/keys", `{"name": "made", "scopes": []}`, "Idempotency-Key", "one")
		if secret, shown := got.body["key"].(string); got.status != 201 || !shown || made[secret] {
			t.Errorf("%d %v", got.status, got.body)
		} else {
			made[secret] = true
		}
		c.must("DELETE", "/users/eve", "")
	}
}

// TestEndsWithoutName: what only revokes or pauses is carried out although its
// Idempotency-Key cannot be kept, and nothing else is.
func TestEndsWithoutName(t *testing.T) {
	aboutFiles(t)
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice"}`)
	id := func() string { return c.must("POST", "/keys", `{"name": "x", "user": "alice"}`).body["id"].(string) }
	paused, ended, graced, bulk := id(), id(), id(), id()
	if err := os.Truncate(c.path("keyward.db"), 0); err != nil {
		t.Fatal(err)
	}
	for path, test := range map[string]struct {
		body   string
		status int
	}{
		"/keys/" + paused + "/pause":     {"", 200},
		"/keys/" + ended + "/revoke":     {"", 200},
		"/keys/" + graced + "/end-grace": {"", 200},
		"/keys/revoke":                   {`{"ids": ["` + bulk + `"]}`, 200},
		"/revocations":                   {`{"jti": "t"}`, 201},
		"/keys/" + paused + "/resume":    {"", 503},
		"/keys/" + graced + "/rotate":    {"", 503},
		"/keys":                          {`{"name": "y"}`, 503},
		"/users":                         {`{"name": "y"}`, 503},
	} {
		if got := c.call(c.admin, "POST", path, test.body, "Idempotency-Key", path); got.status != test.status {
			t.Errorf("%s: %d %v, want %d", path, got.status, got.body, test.status)
		}
	}
	for key, want := range map[string]string{paused: "paused", ended: "revoked", graced: "active", bulk: "revoked"} {
		if got := c.must("GET", "/keys/"+key, "").body["state"]; got != want {
			t.Errorf("%s is %v, want %s", key, got, want)
		}
	}
}
