package server_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"keyward/authz"
)

// field is the value of a hidden field of a page, the first of that name.
func (a answer) field(name string) string {
	found := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(a.body)
	if found == nil {
		return ""
	}
	return found[1]
}

// wantPage reports an answer that is not of the status, or that lacks a text.
func wantPage(t *testing.T, what string, got answer, status int, texts ...string) {
	t.Helper()
	if got.status != status {
		t.Errorf("%s: %d %s %s", what, got.status, got.location, got.main())
	}
	for _, text := range texts {
		if !strings.Contains(got.body+got.location, text) {
			t.Errorf("%s: lacks %q: %s%s", what, text, got.location, got.main())
		}
	}
}

// TestUserLists: people and programs have lists of their own, with filters and pages.
func TestUserLists(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
	c.must("POST", "/users", `{"name": "robot", "service": true}`)
	c.must("POST", "/users", `{"name": "gone", "disabled": true}`)
	c.must("POST", "/users", `{"name": "hr", "scopes": ["keyward:users"]}`)
	c.must("POST", "/keys", `{"name": "one", "user": "alice"}`)
	root, hr := c.login("root"), c.login("hr")
	for _, test := range []struct {
		as          authz.Secret
		path        string
		status      int
		has, hasNot string
	}{
		{root, "/users", 200, `href="/users/alice"`, "/users/robot"},
		{root, "/service-users", 200, `href="/users/robot"`, "/users/alice"},
		{root, "/users?state=disabled", 200, `href="/users/gone"`, "/users/alice"},
		{root, "/users?state=active", 200, `href="/users/alice"`, "/users/gone"},
		{root, "/users?q=lic", 200, `href="/users/alice"`, "/users/gone"},
		{root, "/users?q=%3Cem%3E", 200, "No user matches", "<em>"},
		{root, "/users?state=odd", 422, "There is no such state", "/users/alice"},
		{root, "/users?cursor=x", 422, "begin with the first one", "/users/alice"},
		{root, "/users", 200, `data-label="API keys">1</td>`, "no-such"},
		{hr, "/users", 200, `href="/users/alice"`, "API keys"},
		{hr, "/users", 200, "New user", "Last request"},
	} {
		got := c.page(test.as, "GET", test.path, nil)
		wantPage(t, test.path, got, test.status, test.has)
		if strings.Contains(got.body, test.hasNot) {
			t.Errorf("%s: has %q", test.path, test.hasNot)
		}
	}
	for i := range 50 {
		c.must("POST", "/users", `{"name": "more-`+string(rune('a'+i/10))+string(rune('a'+i%10))+`"}`)
	}
	first := c.page(root, "GET", "/users?state=active", nil)
	next := regexp.MustCompile(`href="(\?cursor=[^"]*)"`).FindStringSubmatch(first.body)
	if next == nil || strings.Contains(first.body, "/users/alice") {
		t.Fatalf("the first page: %s", first.body)
	}
	for query, want := range map[string]string{"lic": `["alice"]`, "%3Cem%3E": `[]`} {
		if got := c.page(root, "GET", "/keys/users?q="+query, nil); got.status != 200 || got.body != want || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("users with %s: %d %s", query, got.status, got.body)
		}
	}
	if all := c.page(root, "GET", "/keys/users?q=more-", nil); strings.Count(all.body, "more-") != 20 {
		t.Errorf("of 50 users: %s", all.body)
	}
	wantPage(t, "the second page", c.page(root, "GET", "/users"+strings.ReplaceAll(next[1], "&amp;", "&"), nil), 200, "/users/alice", "First page")
}

// TestNewUserPage: an administrator makes a person, who changes the password at the first
// login, and a service user; what is wrong is said at the fields, and typed values are
// kept but for the password.
func TestNewUserPage(t *testing.T) {
	c := startConsoleWith(t, "console: {scopes: [{name: orders:read, description: Read orders}]}\n")
	root := c.login("root")
	form := c.page(root, "GET", "/users/new", nil)
	wantPage(t, "the form", form, 200, "Read orders", "keyward:keys", `value="person" checked`)
	wantPage(t, "of a service user", c.page(root, "GET", "/users/new?kind=service", nil), 200, `value="service" checked`, "New service user")

	bad := c.page(root, "POST", "/users", url.Values{"idempotency_key": {"a"}, "name": {""}, "kind": {"person"}, "password": {"my secret words"}, "paths": {"nonsense"}, "scope": {"orders:read"}})
	wantPage(t, "without a name", bad, 422, "Error: New user", `href="#name"`, `value="orders:read" checked`, "nonsense")
	bad = c.page(root, "POST", "/users", url.Values{"idempotency_key": {"a"}, "name": {"a/b"}, "kind": {"person"}, "password": {""}})
	wantPage(t, "a name with a slash", bad, 422, `href="#name"`, `value="a/b"`)
	bad = c.page(root, "POST", "/users", url.Values{"idempotency_key": {"a"}, "name": {"alice"}, "kind": {"person"}, "password": {"short"}, "paths": {"nonsense"}, "other": {`a"b`}})
	wantPage(t, "all that is wrong", bad, 422, `href="#password"`, `href="#paths"`, `href="#other"`)
	if strings.Contains(bad.body, `"short"`) {
		t.Error("the page has the password")
	}
	wantPage(t, "without an idempotency key", c.page(root, "POST", "/users", url.Values{"name": {"alice"}, "kind": {"person"}, "password": {""}}), 400)

	sent := url.Values{"idempotency_key": {form.field("idempotency_key")}, "name": {"alice@example.com"}, "kind": {"person"}, "password": {testPassword}, "scope": {"orders:read"}, "other": {"stock:read"}, "paths": {"/v1/orders\r\n"}}
	made := c.page(root, "POST", "/users", sent)
	wantPage(t, "a person", made, 303, "/users/alice@example.com?done=created")
	wantPage(t, "sent again", c.page(root, "POST", "/users", sent), 303, "/users/alice@example.com")
	wantPage(t, "the user", c.page(root, "GET", made.location, nil), 200, "It was created.", "orders:read", "stock:read", "/v1/orders", "must change the password", "by <a")
	wantPage(t, "one that is there", c.page(root, "POST", "/users", url.Values{"idempotency_key": {"b"}, "name": {"alice@example.com"}, "kind": {"person"}, "password": {""}}), 409, `href="#name"`)
	login := c.page(authz.Secret{}, "POST", "/login", url.Values{"username": {"alice@example.com"}, "password": {testPassword}})
	wantPage(t, "the first login", c.page(login.cookie(), "GET", "/account", nil), 303, "/account/password")

	wantPage(t, "a service user", c.page(root, "POST", "/users", url.Values{"idempotency_key": {"c"}, "name": {"robot"}, "kind": {"service"}, "password": {""}}), 303, "/users/robot")
	wantPage(t, "with a password", c.page(root, "POST", "/users", url.Values{"idempotency_key": {"d"}, "name": {"robot2"}, "kind": {"service"}, "password": {testPassword}}), 422, `href="#service-true"`)
}

// TestNewUserAfterProof: a password that was typed is not lost silently when the
// actor has to confirm who it is first.
func TestNewUserAfterProof(t *testing.T) {
	c := startConsole(t)
	c.user("boss", `, "scopes": ["keyward:admin"]`)
	boss := c.oldLogin("boss", 20*time.Minute)
	sent := url.Values{"idempotency_key": {"a"}, "name": {"alice"}, "kind": {"person"}, "password": {"my secret words"}}
	asked := c.page(boss, "POST", "/users", sent)
	wantPage(t, "an old login", asked, 403, "Confirm that it is you")
	if strings.Contains(asked.body, "my secret words") {
		t.Error("the page has the password")
	}
	sent.Del("password")
	sent.Set("reauthenticate_password", testPassword)
	proved := c.page(boss, "POST", "/users", sent)
	wantPage(t, "after the proof", proved, 422, "Enter the first password again", `value="alice"`)
	sent.Del("reauthenticate_password")
	sent.Set("password", "my secret words")
	wantPage(t, "with the password", c.page(proved.cookie(), "POST", "/users", sent), 303, "/users/alice")
}

// TestEditUserPage: a change, and one of a user that was changed meanwhile, whose form
// comes again as it was typed.
func TestEditUserPage(t *testing.T) {
	c := startConsoleWith(t, "console: {scopes: [{name: read, description: Read}]}\n")
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read", "write"], "paths": ["/v1"]}`)
	c.must("POST", "/users", `{"name": "hr", "scopes": ["keyward:users", "read"]}`)
	root, hr := c.login("root"), c.login("hr")
	form := c.page(root, "GET", "/users/alice/edit", nil)
	wantPage(t, "the form", form, 200, `value="read" checked`, `value="write"`, "/v1</textarea>")
	sent := url.Values{"etag": {form.field("etag")}, "scope": {"read"}, "other": {""}, "paths": {"/v2"}}
	wantPage(t, "a change", c.page(root, "POST", "/users/alice/edit", sent), 303, "/users/alice?done=saved")
	if got := c.must("GET", "/users/alice", "").body; got["scopes"].([]any)[0] != "read" || len(got["scopes"].([]any)) != 1 || got["paths"].([]any)[0] != "/v2" {
		t.Errorf("%v", got)
	}
	sent.Set("paths", "/v3")
	stale := c.page(root, "POST", "/users/alice/edit", sent)
	wantPage(t, "a stale form", stale, 412, "has changed since you opened it", "Paths: /v2", "/v3</textarea>")
	sent.Set("etag", stale.field("etag"))
	wantPage(t, "sent again", c.page(root, "POST", "/users/alice/edit", sent), 303)
	sent = url.Values{"other": {"write keyward:admin"}}
	wantPage(t, "more than the actor has", c.page(hr, "POST", "/users/alice/edit", sent), 403, `href="#other"`, "write keyward:admin")
	wantPage(t, "none that is there", c.page(root, "GET", "/users/absent/edit", nil), 404)
}

// TestDisableUserPage: a disabled user's key is refused until the user is enabled again.
func TestDisableUserPage(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
	key := c.must("POST", "/keys", `{"name": "one", "user": "alice", "scopes": ["keyward:self"]}`).body["key"].(string)
	root := c.login("root")
	asked := c.page(root, "GET", "/users/alice/disable", nil)
	wantPage(t, "the question", asked, 200, "Disable alice?", "Its 1 API key will be refused")
	if got := c.call(key, "GET", "/me", ""); got.status != 200 {
		t.Fatalf("the question alone: %d", got.status)
	}
	wantPage(t, "a stale form", c.page(root, "POST", "/users/alice/disable", url.Values{"etag": {`"x"`}}), 412)
	wantPage(t, "disabled", c.page(root, "POST", "/users/alice/disable", url.Values{"etag": {asked.field("etag")}}), 303, "?done=disabled")
	if got := c.call(key, "GET", "/me", ""); got.status != 401 {
		t.Errorf("the key of a disabled user: %d", got.status)
	}
	shown := c.page(root, "GET", "/users/alice?done=disabled", nil)
	wantPage(t, "the page", shown, 200, "The user was disabled.", `action="/users/alice/enable"`)
	wantPage(t, "enabled", c.page(root, "POST", "/users/alice/enable", url.Values{"etag": {shown.field("etag")}}), 303, "?done=enabled")
	if got := c.call(key, "GET", "/me", ""); got.status != 200 {
		t.Errorf("the key of a user who was enabled: %d", got.status)
	}
	wantPage(t, "the last administrator", c.page(root, "POST", "/users/root/disable", url.Values{}), 409)
}

// TestDeleteUserPage: a user is deleted with its keys, by an administrator alone.
func TestDeleteUserPage(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "robot", "service": true}`)
	c.must("POST", "/users", `{"name": "hr", "scopes": ["keyward:users"]}`)
	key := c.must("POST", "/keys", `{"name": "one", "user": "robot", "scopes": ["keyward:self"]}`).body["key"].(string)
	root, hr := c.login("root"), c.login("hr")
	asked := c.page(root, "GET", "/users/robot/delete", nil)
	wantPage(t, "the question", asked, 200, "Delete robot?", "This cannot be undone")
	wantPage(t, "by another", c.page(hr, "POST", "/users/robot/delete", url.Values{}), 403)
	if strings.Contains(c.page(hr, "GET", "/users/robot", nil).body, "/delete") {
		t.Error("the page links to what the actor may not do")
	}
	wantPage(t, "deleted", c.page(root, "POST", "/users/robot/delete", url.Values{"etag": {asked.field("etag")}}), 303, "/service-users?done=deleted")
	if got := c.call(key, "GET", "/me", ""); got.status != 401 {
		t.Errorf("the key of a deleted user: %d", got.status)
	}
	wantPage(t, "its page", c.page(root, "GET", "/users/robot", nil), 404)
}

// TestUserPasswordPage: a link is shown once and sets the password; an administrator sets
// one that the user has to replace.
func TestUserPasswordPage(t *testing.T) {
	c := startConsoleWith(t, "console: {public_url: "+publicURL+"}\n")
	c.must("POST", "/users", `{"name": "alice"}`)
	c.must("POST", "/users", `{"name": "robot", "service": true}`)
	c.must("POST", "/users", `{"name": "hr", "scopes": ["keyward:users"]}`)
	root, hr := c.login("root"), c.login("hr")
	page := c.page(hr, "GET", "/users/alice/password", nil)
	wantPage(t, "the page", page, 200, "One-time link")
	if strings.Contains(page.body, "Set a password") {
		t.Error("the page has a form that the actor may not send")
	}
	wantPage(t, "of a program", c.page(root, "GET", "/users/robot/password", nil), 409)
	sent := url.Values{"etag": {page.field("etag")}, "idempotency_key": {page.field("idempotency_key")}}
	made := c.page(hr, "POST", "/users/alice/link", sent)
	wantPage(t, "the link", made, 200, "It works once, until")
	path := strings.TrimPrefix(made.secret(), publicURL)
	again := c.page(hr, "POST", "/users/alice/link", sent)
	wantPage(t, "sent again", again, 200, "was carried out once")
	if again.secret() != "" || strings.Contains(again.body, path) {
		t.Error("the link is shown twice")
	}
	wantPage(t, "the link's page", c.page(authz.Secret{}, "GET", path, nil), 200, "alice")
	wantPage(t, "the password", c.page(authz.Secret{}, "POST", path, url.Values{"password": {testPassword}}), 303)
	c.signIn("alice")

	wantPage(t, "by another", c.page(hr, "POST", "/users/alice/password", url.Values{"password": {testPassword}}), 403)
	wantPage(t, "a short one", c.page(root, "POST", "/users/alice/password", url.Values{"password": {"short"}}), 422, `href="#password"`)
	wantPage(t, "none", c.page(root, "POST", "/users/alice/password", url.Values{}), 422, `href="#password"`)
	wantPage(t, "a password", c.page(root, "POST", "/users/alice/password", url.Values{"password": {"staple battery horse"}}), 303, "done=userpw")
	login := c.page(authz.Secret{}, "POST", "/login", url.Values{"username": {"alice"}, "password": {"staple battery horse"}})
	wantPage(t, "the login", c.page(login.cookie(), "GET", "/account", nil), 303, "/account/password")
}

// TestHaploUserPage: at the end of a user's page an administrator creates an API key by
// its name and a request path. The key is shown once, works below its path, and its
// deletion is asked for.
func TestHaploUserPage(t *testing.T) {
	c := startConsoleWith(t, "console: {style: haplo}\n")
	c.must("POST", "/users", `{"name": "library-sync", "service": true, "scopes": ["read"]}`)
	root := c.login("root")
	page := c.page(root, "GET", "/users/library-sync", nil)
	wantPage(t, "the page", page, 200, "API Key Name", "Request path", "Create API key", "The user has no API key.")
	if end := page.body[strings.LastIndex(page.body, "<form"):]; !strings.Contains(end, `action="/users/library-sync/keys"`) {
		t.Error("the form is not at the end")
	}
	bad := c.page(root, "POST", "/users/library-sync/keys", url.Values{"idempotency_key": {"x"}, "name": {""}, "path": {"api"}})
	wantPage(t, "without a name", bad, 422, `href="#name"`, `value="api"`, "Error: library-sync")
	bad = c.page(root, "POST", "/users/library-sync/keys", url.Values{"idempotency_key": {"x"}, "name": {"Loans"}, "path": {"api"}})
	wantPage(t, "an invalid path", bad, 422, `href="#path"`, `value="Loans"`)
	sent := url.Values{"idempotency_key": {page.field("idempotency_key")}, "name": {"Loans"}, "path": {"/api/catalogue"}}
	made := c.page(root, "POST", "/users/library-sync/keys", sent)
	wantPage(t, "the key", made, 200, "API key created", "cannot be found out afterwards", "curl --user haplo:", "I have stored it", `href="/users/library-sync"`)
	secret := made.secret()
	if len(secret) != 44 || strings.ToUpper(secret) != secret {
		t.Errorf("not the format of the style: %d", len(secret))
	}
	again := c.page(root, "POST", "/users/library-sync/keys", sent)
	wantPage(t, "sent again", again, 200, "was carried out once")
	if again.secret() != "" {
		t.Error("the key is shown twice")
	}
	found := c.must("POST", "/keys/verify", `{"key": "`+secret+`"}`).body
	if found["user"] != "library-sync" || found["paths"].([]any)[0] != "/api/catalogue" || found["scopes"] != nil {
		t.Errorf("%v", found)
	}
	if keys := c.must("GET", "/keys?user=library-sync", "").body["items"].([]any); len(keys) != 1 {
		t.Errorf("%d keys", len(keys))
	}
	after := c.page(root, "GET", "/users/library-sync", nil)
	wantPage(t, "the page with the key", after, 200, "Loans", "/api/catalogue", "/keys/"+found["id"].(string)+"/delete", ">Delete</a>")
	if strings.Contains(after.body, secret) {
		t.Error("the page has the secret")
	}
	wantPage(t, "of a user that is not there", c.page(root, "POST", "/users/absent/keys", sent), 404)
}

// TestUserKeysForOthers: what a reader and a warden of keys see and may do.
func TestUserKeysForOthers(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
	for name, scope := range map[string]string{"reader": "keyward:read", "warden": "keyward:keys", "hr": "keyward:users"} {
		c.must("POST", "/users", `{"name": "`+name+`", "scopes": ["`+scope+`"]}`)
	}
	c.must("POST", "/keys", `{"name": "one", "user": "alice"}`)
	seen := c.page(c.login("reader"), "GET", "/users/alice", nil)
	wantPage(t, "a reader", seen, 200, ">one</a>")
	for _, not := range []string{"Create API key", "/edit", "/disable", "/revoke", "/password"} {
		if strings.Contains(seen.body, not) {
			t.Errorf("a reader is shown %s", not)
		}
	}
	if seen := c.page(c.login("hr"), "GET", "/users/alice", nil); seen.status != 200 || strings.Contains(seen.body, ">one</a>") || !strings.Contains(seen.body, "/users/alice/disable") {
		t.Errorf("one who changes users: %d %s", seen.status, seen.body)
	}
	warden := c.login("warden")
	wantPage(t, "a warden", c.page(warden, "GET", "/users/alice", nil), 403)
	wantPage(t, "a key with more than the warden has", c.page(warden, "POST", "/users/alice/keys", url.Values{"idempotency_key": {"x"}, "name": {"two"}}), 403)
}
