package server_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestServiceUser: a service user has keys and never a password, whichever way one is
// asked for.
func TestServiceUser(t *testing.T) {
	c := startConsole(t)
	made := c.must("POST", "/users", `{"name": "robot", "service": true}`)
	if made.body["service"] != true {
		t.Errorf("made as %v", made.body)
	}
	person := c.must("POST", "/users", `{"name": "alice", "password": "correct horse", "must_change": true}`)
	if person.body["must_change"] != true || person.body["service"] != nil {
		t.Errorf("made as %v", person.body)
	}
	for what, try := range map[string][3]string{
		"made with a password":             {"POST", "/users", `{"name": "r2", "service": true, "password": "correct horse"}`},
		"made with a password to change":   {"POST", "/users", `{"name": "r2", "service": true, "must_change": true}`},
		"given a password":                 {"POST", "/users/robot/password", `{"password": "correct horse"}`},
		"given a password to change":       {"PATCH", "/users/robot", `{"must_change": true}`},
		"made of a user with a password":   {"PATCH", "/users/alice", `{"service": true}`},
		"with a member that is not known":  {"PATCH", "/users/robot", `{"gen": 7}`},
		"with a password through a change": {"PATCH", "/users/robot", `{"password": "correct horse"}`},
	} {
		if got := c.call(c.admin, try[0], try[1], try[2]); got.status != 422 {
			t.Errorf("%s: %d %v", what, got.status, got.body)
		}
	}
	if got := c.must("GET", "/users/alice", "").body; got["service"] != nil || got["must_change"] != true {
		t.Errorf("a refused change left %v", got)
	}
	if got := c.must("PATCH", "/users/alice", `{"must_change": false}`).body; got["must_change"] != nil {
		t.Errorf("after the change %v", got)
	}
	if got := c.must("PATCH", "/users/robot", `{"service": false}`).body; got["service"] != nil {
		t.Errorf("no longer a service user: %v", got)
	}
	c.must("POST", "/users/robot/password", `{"password": "correct horse"}`)
}

// TestConsoleChallenge: the console asks for a key alone, whatever the checks accept.
func TestConsoleChallenge(t *testing.T) {
	c := startConsole(t)
	for _, key := range []string{"", "not-a-key"} {
		got := c.call(key, "GET", "/me", "").header.Get("WWW-Authenticate")
		if !strings.HasPrefix(got, `Bearer realm="keyward"`) || strings.Contains(got, "Basic") {
			t.Errorf("with the key %q: %q", key, got)
		}
	}
}

// TestScopesRemoved: a merge patch that removes a user's scopes leaves none, and is not
// answered as if it had.
func TestScopesRemoved(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read", "keyward:keys"]}`)
	if got := c.must("PATCH", "/users/alice", `{"paths": ["/api"]}`).body["scopes"].([]any); len(got) != 2 {
		t.Errorf("not named: %v", got)
	}
	if got := c.must("PATCH", "/users/alice", `{"scopes": null}`).body["scopes"].([]any); len(got) != 0 {
		t.Errorf("removed: %v", got)
	}
	if got := c.call(c.admin, "PATCH", "/users/alice", `{"scopes": ["a"`+strings.Repeat(`, "a"`, 100)+`]}`); got.status != 422 {
		t.Errorf("101 scopes: %d", got.status)
	}
}

// TestKeysOfTheUserBefore: the next user of a name sees and changes nothing of the keys
// that an earlier one had, whatever ends its own.
func TestKeysOfTheUserBefore(t *testing.T) {
	c := startConsoleWith(t, "usage: {file: DIR/usage.json}\n")
	var self string
	user := func() {
		c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
		self = c.must("POST", "/keys", `{"name": "self", "user": "alice", "scopes": ["read", "keyward:self"]}`).body["key"].(string)
	}
	names := func() (names []any) {
		for _, item := range c.call(self, "GET", "/me/keys", "").body["items"].([]any) {
			names = append(names, item.(map[string]any)["name"])
		}
		return names
	}
	user()
	before := c.must("POST", "/keys", `{"name": "before", "user": "alice", "scopes": ["read"]}`).body["id"].(string)
	c.must("DELETE", "/users/alice", "")
	c.must("POST", "/keys", `{"name": "early", "user": "alice", "scopes": ["read"]}`)
	user()
	if got := fmt.Sprint(names()); got != "[self early]" {
		t.Errorf("the keys of the second: %s", got)
	}
	for range 2 {
		for path, method := range map[string]string{"/keys/" + before + "/usage": "GET", "/me/keys/" + before + "/rotate": "POST", "/me/keys/" + before + "/revoke": "POST"} {
			c.expect(path, c.call(self, method, path, ""), 404, "not_found")
		}
		c.must("POST", "/keys/revoke", `{"user": "alice"}`)
		self = c.must("POST", "/keys", `{"name": "again", "user": "alice", "scopes": ["read", "keyward:self"]}`).body["key"].(string)
	}
	if got := fmt.Sprint(names()); got != "[again again self]" {
		t.Errorf("the keys of the second: %s", got)
	}
	if got := c.must("GET", "/keys?user=alice", "").body["items"].([]any); len(got) != 6 {
		t.Errorf("an administrator sees %d", len(got))
	}
}
