package server_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"keyward/authz"
)

// TestProjectPages follows a project from its form to its end; a change of one that was
// changed meanwhile is not made.
func TestProjectPages(t *testing.T) {
	c := startConsoleWith(t, withProjects)
	c.must("POST", "/users", `{"name": "alice"}`)
	root := c.login("root")
	c.ok("no project", c.page(root, "GET", "/projects", nil), 200, "There are no projects yet.", "New project")
	form := c.page(root, "GET", "/projects/new", nil)
	c.ok("the form", form, 200, "Create project")
	for what, test := range map[string]struct {
		name, members, field string
		status               int
	}{
		"no name":        {"", "", "#name", 422},
		"a slash":        {"a/b", "", "#name", 422},
		"no such member": {"web", "absent", "#members", 422},
		"the same twice": {"web", "alice\nalice", "#members", 422},
	} {
		got := c.page(root, "POST", "/projects", url.Values{"idempotency_key": {what}, "name": {test.name}, "members": {test.members}, "description": {"kept text"}})
		c.ok(what, got, test.status, "Error: New project", `href="`+test.field+`"`, "kept text")
	}
	sent := form.hidden("name", "web", "description", "The site", "members", "alice\r\n")
	wantPage(t, "created", c.page(root, "POST", "/projects", sent), 303, "/projects/web?done=created")
	wantPage(t, "sent again", c.page(root, "POST", "/projects", sent), 303, "/projects/web")
	wantPage(t, "one that is there", c.page(root, "POST", "/projects", url.Values{"idempotency_key": {"b"}, "name": {"web"}}), 409, `href="#name"`)
	c.must("POST", "/keys", `{"name": "one", "user": "alice", "project": "web"}`)
	c.ok("the list", c.page(root, "GET", "/projects?q=we", nil), 200, `href="/projects/web"`, "The site", `data-label="Members">1</td>`, `href="/keys?project=web"`)
	c.ok("another name", c.page(root, "GET", "/projects?q=other", nil), 200, "No project matches.")
	c.ok("a bad cursor", c.page(root, "GET", "/projects?cursor=x", nil), 422, "begin with the first one")
	shown := c.page(root, "GET", "/projects/web", nil)
	c.ok("the page", shown, 200, "<h1>The site</h1>", "<code>web</code>", `href="/users/alice"`)
	if strings.Contains(shown.body, "Your Key") {
		t.Error("one who is not a member has a dashboard")
	}

	edit := c.page(root, "GET", "/projects/web/edit", nil)
	c.ok("the form of a change", edit, 200, `value="The site"`, "alice</textarea>")
	wantPage(t, "changed", c.page(root, "POST", "/projects/web/edit", edit.hidden("description", "The shop", "members", "alice")), 303, "done=saved")
	stale := c.page(root, "POST", "/projects/web/edit", edit.hidden("description", "Another", "members", ""))
	c.ok("a stale form", stale, 412, "has changed since you opened it", "Description: The shop", "Members: alice", `value="Another"`)
	c.ok("a member that is not there", c.page(root, "POST", "/projects/web/edit", url.Values{"members": {"absent"}}), 422, `href="#members"`)
	wantPage(t, "sent again", c.page(root, "POST", "/projects/web/edit", stale.hidden("description", "Another", "members", "alice")), 303)

	c.ok("with a key", c.page(root, "GET", "/projects/web/delete", nil), 200, "The project has 1 key in force.")
	c.ok("deleted with a key", c.page(root, "POST", "/projects/web/delete", url.Values{}), 409, "revoke them first")
	c.must("POST", "/keys/revoke", `{"project": "web"}`)
	asked := c.page(root, "GET", "/projects/web/delete", nil)
	c.ok("without keys", asked, 200, "This cannot be undone.")
	wantPage(t, "deleted", c.page(root, "POST", "/projects/web/delete", asked.hidden()), 303, "/projects?done=deletedproject")
	c.ok("the page of a deleted one", c.page(root, "GET", "/projects/web", nil), 404)
}

// TestProjectsForMembers: a member sees its own projects and no other, and not who else
// is a member; a reader sees all and changes none.
func TestProjectsForMembers(t *testing.T) {
	c := startConsoleWith(t, withProjects)
	for name, scopes := range map[string]string{"alice": "", "bob": "", "reader": `"keyward:read"`} {
		c.must("POST", "/users", `{"name": "`+name+`", "scopes": [`+scopes+`]}`)
	}
	c.must("POST", "/projects", `{"name": "web", "members": ["alice", "bob"]}`)
	c.must("POST", "/projects", `{"name": "secret", "members": ["bob"]}`)
	alice, reader := c.login("alice"), c.login("reader")
	list := c.page(alice, "GET", "/projects", nil)
	c.ok("a member's list", list, 200, `href="/projects/web"`)
	mine := c.page(alice, "GET", "/projects/web", nil)
	c.ok("a member's project", mine, 200, "Your Key", "You have no key of this project")
	if strings.Contains(list.body, "/projects/secret") || strings.Contains(mine.body, "bob") || strings.Contains(mine.body, "/edit") || strings.Contains(list.body, "/projects/new") {
		t.Error("a member sees more than its own projects")
	}
	c.ok("another project", c.page(alice, "GET", "/projects/secret", nil), 404)
	c.ok("one that is not there", c.page(alice, "GET", "/projects/absent", nil), 404)
	c.ok("a reader", c.page(reader, "GET", "/projects/secret", nil), 200, "bob")
	for _, path := range []string{"/projects/web/edit", "/projects/web/delete", "/projects"} {
		c.ok("a reader's "+path, c.page(reader, "POST", path, url.Values{}), 403)
		c.ok("a member's "+path, c.page(alice, "POST", path, url.Values{}), 403)
	}
	c.must("DELETE", "/users/alice", "")
	c.must("POST", "/users", `{"name": "alice"}`)
	c.ok("a later user of a member's name", c.page(c.login("alice"), "GET", "/projects/web", nil), 404)
}

// TestReplaceProjectKey: the member's key is masked, and is replaced in one step from the
// menu: the new one is shown once, and the old one is refused.
func TestReplaceProjectKey(t *testing.T) {
	c := startConsoleWith(t, withProjects+"console: {style: halfred}\n")
	c.must("POST", "/users", `{"name": "alice"}`)
	c.must("POST", "/users", `{"name": "bob"}`)
	c.must("POST", "/projects", `{"name": "web", "members": ["alice", "bob"]}`)
	c.must("POST", "/projects", `{"name": "app", "members": ["alice"]}`)
	made := c.must("POST", "/keys", `{"name": "one", "user": "alice", "project": "web"}`).body
	old, id := made["key"].(string), made["id"].(string)
	c.accepted("the key", old, 200)
	// A reader sees the project without being a member, and has a key of it.
	c.must("POST", "/users", `{"name": "reader", "scopes": ["keyward:read"]}`)
	outside := c.must("POST", "/keys", `{"name": "two", "user": "reader", "project": "web"}`).body
	alice, bob, reader := c.login("alice"), c.login("bob"), c.login("reader")
	page := c.page(alice, "GET", "/projects/web", nil)
	c.ok("the dashboard", page, 200, "Your Key", "⋮", "Revoke Key &amp; Get New One", "Recent log status", "Usage", made["hint"].(string)+"…")
	if strings.Contains(page.body, old) {
		t.Error("the page has the secret")
	}
	sent := page.hidden()
	for what, test := range map[string]struct {
		as     authz.Secret
		path   string
		key    string
		etag   string
		status int
	}{
		"another member's key": {bob, "/projects/web", id, "", 404},
		"of another project":   {alice, "/projects/app", id, "", 404},
		"no member":            {bob, "/projects/app", id, "", 404},
		"no key":               {alice, "/projects/web", "", "", 404},
		"its own, no member":   {reader, "/projects/web", outside["id"].(string), "", 404},
		"a stale form":         {alice, "/projects/web", id, `"x"`, 412},
	} {
		got := c.page(test.as, "POST", test.path+"/key/replace", url.Values{"idempotency_key": {what}, "key": {test.key}, "etag": {test.etag}})
		c.ok(what, got, test.status)
	}
	c.accepted("what was refused", old, 200)
	c.accepted("what was refused to a reader", outside["key"].(string), 200)
	shown := c.page(alice, "POST", "/projects/web/key/replace", sent)
	c.ok("the new key", shown, 200, "I have stored it", "replace the key once more", `href="/projects/web"`, "HALFRED_API_KEY", "The old key is refused")
	c.accepted("the new key", shown.secret(), 200)
	c.accepted("the old key", old, 401)
	again := c.page(alice, "POST", "/projects/web/key/replace", sent)
	c.ok("sent again", again, 200, "was carried out once")
	if again.secret() != "" {
		t.Error("the key is shown twice")
	}
	c.accepted("after the same form", shown.secret(), 200)
	c.ok("the dashboard of the new key", c.page(alice, "GET", "/projects/web", nil), 200, "Replaced")
}

const firstLogin = withProjects + "console: {style: halfred, title: Halfred, first_login: {project: true, key: true}}\n"

// TestFirstLogin: the first login makes a project and its key, and shows it; the next one
// makes nothing.
func TestFirstLogin(t *testing.T) {
	c := startConsoleWith(t, firstLogin)
	c.user("alice", "")
	login := func() answer {
		return c.page(authz.Secret{}, "POST", "/login", url.Values{"username": {"alice"}, "password": {testPassword}})
	}
	got := login()
	c.ok("the first login", got, 200, "Welcome to Halfred", "We created a default project for you.", "I have stored it", "HALFRED_API_KEY")
	secret := got.secret()
	c.accepted("the key", secret, 200)
	alice := got.cookie()
	home := c.page(alice, "GET", "/", nil)
	if home.status != 303 || !strings.HasPrefix(home.location, "/projects/p_") {
		t.Fatalf("the first page: %d %s", home.status, home.location)
	}
	dashboard := c.page(alice, "GET", home.location, nil)
	c.ok("the dashboard", dashboard, 200, "<h1>Default project</h1>", "Your Key")
	if strings.Contains(dashboard.body, secret) {
		t.Error("the page has the secret")
	}
	wantPage(t, "the next login", login(), 303, "/")
	wantPage(t, "the form once more", c.page(alice, "POST", "/welcome", url.Values{}), 303, "/")
	keys := c.must("GET", "/keys?user=alice", "").body["items"].([]any)
	if len(keys) != 1 || keys[0].(map[string]any)["project"] != strings.TrimPrefix(home.location, "/projects/") || keys[0].(map[string]any)["created_by"] != "alice" {
		t.Errorf("%v", keys)
	}
	c.must("POST", "/keys/revoke", `{"user": "alice"}`)
	wantPage(t, "after the key was revoked", login(), 303, "/")
}

// TestNoFirstLogin: who gets nothing.
func TestNoFirstLogin(t *testing.T) {
	c := startConsoleWith(t, firstLogin)
	c.user("reader", `, "scopes": ["keyward:read"]`)
	c.user("self", `, "scopes": ["keyward:self"]`)
	c.user("has", "")
	c.must("POST", "/keys", `{"name": "one", "user": "has"}`)
	for _, name := range []string{"reader", "self", "has"} {
		got := c.page(authz.Secret{}, "POST", "/login", url.Values{"username": {name}, "password": {testPassword}})
		wantPage(t, name, got, 303)
		wantPage(t, name+" asks for it", c.page(got.cookie(), "POST", "/welcome", url.Values{}), 303)
	}
	if got := c.must("GET", "/projects", "").body["items"].([]any); len(got) != 0 {
		t.Errorf("%v", got)
	}
	c.ok("a wrong password", c.page(authz.Secret{}, "POST", "/login", url.Values{"username": {"has"}, "password": {"wrong horse"}}), 422)
}

// TestFirstLoginAfterChange: a password that must be changed comes first; then the user is
// asked, since nothing is made by looking at a page.
func TestFirstLoginAfterChange(t *testing.T) {
	c := startConsoleWith(t, firstLogin)
	c.user("new", `, "must_change": true`)
	got := c.page(authz.Secret{}, "POST", "/login", url.Values{"username": {"new"}, "password": {testPassword}})
	wantPage(t, "the login", got, 303)
	changed := c.page(got.cookie(), "POST", "/account/password", url.Values{"current": {testPassword}, "new": {"staple battery horse"}})
	wantPage(t, "the change", changed, 303, "/?done=password")
	cookie := changed.cookie()
	wantPage(t, "the first page", c.page(cookie, "GET", "/?done=password", nil), 303, "/welcome?done=password")
	for range 2 {
		c.ok("the question", c.page(cookie, "GET", "/welcome", nil), 200, "Create my key")
	}
	shown := c.page(cookie, "POST", "/welcome", url.Values{})
	c.ok("the key", shown, 200, "Welcome to Halfred")
	c.accepted("the key", shown.secret(), 200)
	wantPage(t, "the page afterwards", c.page(cookie, "GET", "/welcome", nil), 303, "/")
}

// TestFirstLoginsAtOnce: of many logins at once one makes a key, and all together one
// project.
func TestFirstLoginsAtOnce(t *testing.T) {
	c := startConsoleWith(t, firstLogin)
	c.must("POST", "/users", `{"name": "alice"}`)
	cookie := c.login("alice")
	const n = 8
	shown := make(chan string, n)
	for range n {
		go func() { shown <- c.page(cookie, "POST", "/welcome", url.Values{}).secret() }()
	}
	keys := 0
	for range n {
		select {
		case secret := <-shown:
			if secret != "" {
				keys++
			}
		case <-time.After(time.Minute):
			t.Fatal("no answer")
		}
	}
	if keys != 1 {
		t.Errorf("%d keys were shown", keys)
	}
	if got := c.must("GET", "/keys?user=alice", "").body["items"].([]any); len(got) != 1 {
		t.Errorf("%d keys", len(got))
	}
	if got := c.must("GET", "/projects", "").body["items"].([]any); len(got) != 1 {
		t.Errorf("%d projects", len(got))
	}
}
