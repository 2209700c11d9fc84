package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage/session"
	"keyward/manage/state"
)

const publicURL = "https://console.example.com"

// sameOrigin is what a browser says of a change that a page of the console makes.
var sameOrigin = []string{"Sec-Fetch-Site", "same-origin"}

// state is the server's state, which a test has open beside it.
func (c *console) state() *state.DB {
	c.t.Helper()
	db := c.backend.state(c.t, nil)
	c.t.Cleanup(func() { _ = db.Close() })
	return db
}

// login opens a session of the user, and returns its cookie.
func (c *console) login(user string) authz.Secret {
	c.t.Helper()
	_, cookie, err := c.state().Sessions.Create(context.Background(), state.Login{User: user, Method: state.LoginPassword, Address: "192.0.2.1"})
	if err != nil {
		c.t.Fatal(err)
	}
	return cookie
}

// oldLogin opens a session of the user that began that long ago.
func (c *console) oldLogin(user string, age time.Duration) authz.Secret {
	c.t.Helper()
	began := time.Now().Add(-age)
	db := c.backend.state(c.t, func() time.Time { return began })
	defer func() { _ = db.Close() }()
	_, cookie, err := db.Sessions.Create(context.Background(), state.Login{User: user, Method: state.LoginPassword})
	if err != nil {
		c.t.Fatal(err)
	}
	return cookie
}

// with sends a request with the session.
func (c *console) with(cookie authz.Secret, method, path, body string, header ...string) response {
	c.t.Helper()
	return c.call("", method, path, body, append(header, "Cookie", session.CookieName+"="+cookie.Reveal())...)
}

// expect fails the test unless the response is that; problem is "" for a success.
func (c *console) expect(what string, got response, status int, problem string) {
	c.t.Helper()
	kind, _ := got.body["type"].(string)
	if got.status != status || strings.TrimPrefix(kind, "https://keyward.dev/errors/") != problem {
		c.t.Errorf("%s: %d %v, want %d %s", what, got.status, got.body, status, problem)
	}
}

// TestSessionRequests is the policy of sessions: what a session may do, from where, and
// beside what.
func TestSessionRequests(t *testing.T) {
	c := startConsoleWith(t, "console: {public_url: "+publicURL+"}\n")
	for _, name := range []string{"alice", "gone", "off", "ended"} {
		c.must("POST", "/users", `{"name": "`+name+`"}`)
	}
	alice, root := c.login("alice"), c.login("root")
	gone, off, ended := c.login("gone"), c.login("off"), c.login("ended")
	c.must("DELETE", "/users/gone", "")
	c.must("PATCH", "/users/off", `{"disabled": true}`)
	c.must("POST", "/keys/revoke", `{"user": "ended"}`)
	key := c.must("POST", "/keys", `{"name": "x", "user": "alice"}`).body["key"].(string)
	unknown := authz.NewSecret(apikey.TokenPrefix + strings.Repeat("A", 43))
	const newKey = `{"name": "x"}`
	for _, test := range []struct {
		what         string
		cookie       authz.Secret
		method, path string
		body         string
		header       []string
		status       int
		problem      string
	}{
		{"reading", alice, "GET", "/me", "", nil, 200, ""},
		{"reading from another site", alice, "GET", "/me", "", []string{"Sec-Fetch-Site", "cross-site"}, 200, ""},
		{"its user's keys", alice, "GET", "/me/keys", "", nil, 200, ""},
		{"its user's sessions", alice, "GET", "/me/sessions", "", nil, 200, ""},
		{"keys of others", alice, "GET", "/keys", "", nil, 403, "forbidden"},
		{"an administrator's session", root, "GET", "/keys", "", nil, 200, ""},

		{"a change of the console's page", alice, "POST", "/me/keys", newKey, sameOrigin, 201, ""},
		{"a change by the public origin", alice, "POST", "/me/keys", newKey, []string{"Origin", publicURL}, 201, ""},
		{"a change by both", alice, "POST", "/me/keys", newKey, []string{"Sec-Fetch-Site", "same-origin", "Origin", publicURL}, 201, ""},
		{"a change by neither", alice, "POST", "/me/keys", newKey, nil, 403, "cross_origin"},
		{"a change of another site", alice, "POST", "/me/keys", newKey, []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross_origin"},
		{"a change of another host of the site", alice, "POST", "/me/keys", newKey, []string{"Sec-Fetch-Site", "same-site"}, 403, "cross_origin"},
		{"a change by the address bar", alice, "POST", "/me/keys", newKey, []string{"Sec-Fetch-Site", "none"}, 403, "cross_origin"},
		{"a change by two sites", alice, "POST", "/me/keys", newKey, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, 403, "cross_origin"},
		{"a change of another site with our origin", alice, "POST", "/me/keys", newKey, []string{"Sec-Fetch-Site", "cross-site", "Origin", publicURL}, 403, "cross_origin"},
		{"a change by another origin", alice, "POST", "/me/keys", newKey, []string{"Origin", "https://example.com"}, 403, "cross_origin"},
		{"a change by an origin below", alice, "POST", "/me/keys", newKey, []string{"Origin", publicURL + ".example.org"}, 403, "cross_origin"},
		{"a change by no origin", alice, "POST", "/me/keys", newKey, []string{"Origin", "null"}, 403, "cross_origin"},
		{"a change by two origins", alice, "POST", "/me/keys", newKey, []string{"Origin", publicURL, "Origin", publicURL}, 403, "cross_origin"},
		{"a deletion by neither", root, "DELETE", "/users/alice", "", nil, 403, "cross_origin"},
		{"a patch by neither", root, "PATCH", "/users/alice", `{"disabled": true}`, nil, 403, "cross_origin"},
		{"an administrator's cookie of another site", root, "POST", "/users", `{"name": "eve"}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross_origin"},

		{"beside a key", alice, "GET", "/me", "", []string{"Authorization", "Bearer " + key}, 401, "unauthenticated"},
		{"beside Basic", alice, "GET", "/me", "", []string{"Authorization", "Basic YTpi"}, 401, "unauthenticated"},
		{"beside another session", alice, "GET", "/me", "", []string{"Cookie", session.CookieName + "=" + root.Reveal()}, 401, "unauthenticated"},
		{"an unknown session", unknown, "GET", "/me", "", nil, 401, "unauthenticated"},
		{"a key as a session", authz.NewSecret(key), "GET", "/me", "", nil, 401, "unauthenticated"},
		{"a session of a deleted user", gone, "GET", "/me", "", nil, 401, "unauthenticated"},
		{"a session of a disabled user", off, "GET", "/me", "", nil, 401, "unauthenticated"},
		{"a session that was ended", ended, "GET", "/me", "", nil, 401, "unauthenticated"},
	} {
		got := c.with(test.cookie, test.method, test.path, test.body, test.header...)
		c.expect(test.what, got, test.status, test.problem)
		if test.status == 401 && got.header.Get("X-Keyward-Decision-Id") == "" {
			t.Errorf("%s: no decision id", test.what)
		}
	}
	c.expect("a session in Authorization", c.call(alice.Reveal(), "GET", "/me", ""), 401, "unauthenticated")
	c.expect("a key from another site", c.call(key, "POST", "/me/keys", newKey, "Sec-Fetch-Site", "cross-site"), 403, "forbidden")
	if got := c.call(c.admin, "GET", "/users/eve", ""); got.status != 404 {
		t.Errorf("a change from another site was made: %v", got.body)
	}
	refused := c.must("GET", "/audit?actor=root&action=request", "").body["items"].([]any)
	if len(refused) != 3 || refused[0].(map[string]any)["reason"] != "cross_origin" {
		t.Errorf("entries: %v", refused)
	}
	for _, secret := range []authz.Secret{alice, root, gone, unknown} {
		if strings.Contains(c.log.String(), secret.Reveal()) {
			t.Error("a cookie is in the log")
		}
	}
}

// TestHosts: a request by a name that is not the console's is refused, with whatever
// credential.
func TestHosts(t *testing.T) {
	for _, test := range []struct {
		more string
		want map[string]int
	}{
		{"", map[string]int{"127.0.0.1": 200, "127.0.0.1:9194": 200, "localhost": 200, "LocalHost": 200, "[::1]": 200, "example.com": 421, "127.0.0.2": 421, "localhost.example.com": 421, "console.example.com": 421}},
		{"console: {public_url: " + publicURL + "}\n", map[string]int{"127.0.0.1": 200, "console.example.com": 200, "Console.Example.com:443": 200, "console.example.com:80": 421, "console.example.com:9194": 421, "example.com": 421, "console.example.com.": 421}},
	} {
		c := startConsoleWith(t, test.more)
		for host, status := range test.want {
			for _, path := range []string{"/api/v1/me", "/api/openapi.json"} {
				r, err := http.NewRequest("GET", "http://127.0.0.1"+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = host
				r.Header.Set("Authorization", "Bearer "+c.admin)
				answer, err := c.client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
				if answer.StatusCode != status {
					t.Errorf("%s%s: %d, want %d", host, path, answer.StatusCode, status)
				}
			}
		}
	}
}

// TestOwnPassword: a change of the password over the wire, with the cookie that goes on.
func TestOwnPassword(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice", "password": "correct horse", "must_change": true}`)
	cookie, other := c.login("alice"), c.login("alice")
	key := c.must("POST", "/keys", `{"name": "x", "user": "alice", "scopes": ["keyward:self"]}`).body["key"].(string)
	change := func(cookie authz.Secret, current, next string, header ...string) response {
		return c.with(cookie, "POST", "/me/password", `{"current": "`+current+`", "password": "`+next+`"}`, append(header, sameOrigin...)...)
	}
	if got := c.with(cookie, "GET", "/me", ""); got.body["must_change"] != true || got.body["session"] == nil || got.body["user"] != "alice" {
		t.Errorf("who the session is: %v", got.body)
	}
	c.expect("its own keys before the change", c.with(cookie, "GET", "/me/keys", ""), 403, "forbidden")
	c.expect("by a key", c.call(key, "POST", "/me/password", `{"current": "correct horse", "password": "battery staple"}`), 403, "forbidden")
	c.expect("another current password", change(cookie, "wrong horse", "battery staple"), 422, "invalid")
	c.expect("a short one", change(cookie, "correct horse", "short"), 422, "invalid")
	c.expect("no current one", c.with(cookie, "POST", "/me/password", `{"password": "battery staple"}`, sameOrigin...), 422, "invalid")
	got := change(cookie, "correct horse", "battery staple")
	c.expect("the change", got, 204, "")
	set := got.header.Get("Set-Cookie")
	value, attributes, _ := strings.Cut(strings.TrimPrefix(set, session.CookieName+"="), ";")
	if attributes != " Path=/; HttpOnly; Secure; SameSite=Strict" {
		t.Errorf("Set-Cookie: %s", set)
	}
	next := authz.NewSecret(value)
	c.expect("the cookie before", c.with(cookie, "GET", "/me", ""), 401, "unauthenticated")
	c.expect("the other session", c.with(other, "GET", "/me", ""), 401, "unauthenticated")
	c.expect("the session", c.with(next, "GET", "/me/keys", ""), 200, "")
	c.expect("the key", c.call(key, "GET", "/me/keys", ""), 200, "")

	for i := range 12 {
		got = change(next, fmt.Sprint("wrong horse ", i), "battery staple", "X-Forwarded-For", "192.0.2.7")
	}
	c.expect("after many wrong ones", got, 429, "rate_limited")
	c.expect("from there, the right one", change(next, "battery staple", "correct horse", "X-Forwarded-For", "192.0.2.7"), 429, "rate_limited")
	c.expect("from elsewhere", change(next, "battery staple", "correct horse", "X-Forwarded-For", "192.0.2.8"), 204, "")
	for _, secret := range []string{cookie.Reveal(), value, "correct horse", "battery staple", "wrong horse"} {
		if strings.Contains(c.log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

// TestOwnSessions: a user sees and ends its own sessions, by a session or a key.
func TestOwnSessions(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice"}`)
	c.must("POST", "/users", `{"name": "bob"}`)
	mine, other, bobs := c.login("alice"), c.login("alice"), c.login("bob")
	self := c.must("POST", "/keys", `{"name": "x", "user": "alice", "scopes": ["keyward:self"]}`).body["key"].(string)
	items := c.with(mine, "GET", "/me/sessions", "").body["items"].([]any)
	if len(items) != 2 {
		t.Fatalf("sessions: %v", items)
	}
	var current, second string
	for _, item := range items {
		s := item.(map[string]any)
		if s["current"] == true {
			current = s["id"].(string)
		} else {
			second = s["id"].(string)
		}
		if s["method"] != "password" || s["address"] != "192.0.2.1" || s["login"] == nil || s["last_use"] == nil || s["expires"] == nil {
			t.Errorf("a session: %v", s)
		}
	}
	bob := c.with(bobs, "GET", "/me/sessions", "").body["items"].([]any)[0].(map[string]any)["id"].(string)
	c.expect("another's", c.with(mine, "DELETE", "/me/sessions/"+bob, "", sameOrigin...), 404, "not_found")
	c.expect("an unknown one", c.with(mine, "DELETE", "/me/sessions/s_0", "", sameOrigin...), 404, "not_found")
	c.expect("one of its own", c.with(mine, "DELETE", "/me/sessions/"+second, "", sameOrigin...), 204, "")
	c.expect("the ended one", c.with(other, "GET", "/me", ""), 401, "unauthenticated")
	if got := c.call(self, "GET", "/me/sessions", ""); len(got.body["items"].([]any)) != 1 {
		t.Errorf("by a key: %v", got.body)
	}
	got := c.with(mine, "DELETE", "/me/sessions/"+current, "", sameOrigin...)
	c.expect("itself", got, 204, "")
	if set := got.header.Get("Set-Cookie"); !strings.HasPrefix(set, session.CookieName+"=; Path=/; Max-Age=0;") {
		t.Errorf("Set-Cookie: %s", set)
	}
	c.expect("itself, afterwards", c.with(mine, "GET", "/me", ""), 401, "unauthenticated")
	c.expect("by a key of another", c.with(bobs, "GET", "/me", ""), 200, "")
}

// TestSessionReauthenticates: a session that began a while ago makes no secret for
// others.
func TestSessionReauthenticates(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice"}`)
	root := c.login("root")
	c.expect("a fresh login", c.with(root, "POST", "/keys", `{"name": "x", "user": "alice"}`, sameOrigin...), 201, "")
	root = c.oldLogin("root", 16*time.Minute)
	for path, body := range map[string]string{
		"/keys": `{"name": "x", "user": "alice"}`, "/users/alice/password": `{"link": true}`, "/users": `{"name": "bob", "password": "correct horse"}`,
	} {
		c.expect("an old login: "+path, c.with(root, "POST", path, body, sameOrigin...), 403, "reauthenticate")
	}
	c.expect("its own key", c.with(root, "POST", "/me/keys", `{"name": "x"}`, sameOrigin...), 201, "")
	c.expect("a change", c.with(root, "PATCH", "/users/alice", `{"disabled": true}`, sameOrigin...), 200, "")
}
