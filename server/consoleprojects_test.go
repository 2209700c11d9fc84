package server_test

import (
	"fmt"
	"strings"
	"testing"
)

const withProjects = "projects: {file: DIR/projects.jsonl}\n"

// TestProjects: a member puts a project on its own keys, until it is not a member any
// more, and the project goes when its keys have ended.
func TestProjects(t *testing.T) {
	c := startConsoleWith(t, withProjects)
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
	c.must("POST", "/users", `{"name": "bob", "scopes": ["read"]}`)
	alice := c.must("POST", "/keys", `{"name": "self", "user": "alice", "scopes": ["read", "keyward:self"]}`).body["key"].(string)
	made := c.must("POST", "/projects", `{"name": "web", "description": "The site", "members": ["bob"]}`)
	if made.status != 201 || made.body["etag"] != made.header.Get("ETag") || made.body["created_by"] != "root" {
		t.Errorf("%d %v", made.status, made.body)
	}
	own := func(status int, problem string) string {
		t.Helper()
		got := c.call(alice, "POST", "/me/keys", `{"name": "site", "project": "web", "scopes": ["read"]}`)
		if is, _ := got.body["type"].(string); got.status != status || strings.TrimPrefix(is, "https://keyward.dev/errors/") != problem {
			t.Fatalf("%d %v, want %d %s", got.status, got.body, status, problem)
		}
		id, _ := got.body["id"].(string)
		return id
	}
	own(403, "beyond_caller")
	changed := c.must("PATCH", "/projects/web", `{"members": ["bob", "alice"], "description": null}`).body
	if fmt.Sprint(changed["members"]) != "[bob alice]" || changed["description"] != nil {
		t.Errorf("%v", changed)
	}
	id := own(201, "")
	if got := c.call(alice, "GET", "/keys/"+id+"/usage", ""); got.status != 200 {
		t.Errorf("the use of the key: %d %v", got.status, got.body)
	}
	if got := c.call(c.admin, "DELETE", "/projects/web", ""); got.status != 409 || got.body["type"] != "https://keyward.dev/errors/conflict" {
		t.Errorf("with a key in force: %d %v", got.status, got.body)
	}
	c.must("PATCH", "/projects/web", `{"members": []}`)
	own(403, "beyond_caller")
	if got := c.call(alice, "POST", "/me/keys/"+id+"/rotate", ""); got.status != 403 {
		t.Errorf("rotated by one who is not a member any more: %d %v", got.status, got.body)
	}
	c.must("POST", "/keys/revoke", `{"project": "web"}`)
	c.must("DELETE", "/projects/web", "")
	if got := c.call(c.admin, "GET", "/projects/web", ""); got.status != 404 {
		t.Errorf("a deleted project: %d", got.status)
	}
}

// TestProjectRequests: what is refused, with the problem that the caller gets.
func TestProjectRequests(t *testing.T) {
	c := startConsoleWith(t, withProjects)
	c.must("POST", "/users", `{"name": "ops", "scopes": ["keyward:keys", "keyward:users", "keyward:read", "read"]}`)
	ops := c.must("POST", "/keys", `{"name": "ops", "user": "ops", "scopes": ["keyward:keys", "keyward:users", "read"]}`).body["key"].(string)
	reader := c.must("POST", "/keys", `{"name": "reader", "user": "ops", "scopes": ["keyward:read"]}`).body["key"].(string)
	tag := c.must("POST", "/projects", `{"name": "web", "members": ["ops"]}`).body["etag"].(string)
	c.must("POST", "/projects", `{"name": "app"}`)
	for _, test := range []struct {
		what, key, method, path, body, tag string
		status                             int
		problem                            string
	}{
		{"no administrator creates", ops, "POST", "/projects", `{"name": "x"}`, "", 403, "forbidden"},
		{"no administrator changes", ops, "PATCH", "/projects/web", `{"members": ["ops"]}`, "", 403, "forbidden"},
		{"no administrator deletes", ops, "DELETE", "/projects/web", "", "", 403, "forbidden"},
		{"one that is not there is the same to it", ops, "DELETE", "/projects/none", "", "", 403, "forbidden"},
		{"no reader reads", ops, "GET", "/projects/web", "", "", 403, "forbidden"},
		{"no reader lists", ops, "GET", "/projects", "", "", 403, "forbidden"},
		{"a reader creates", reader, "POST", "/projects", `{"name": "x"}`, "", 403, "forbidden"},
		{"a reader reads", reader, "GET", "/projects/web", "", "", 200, ""},
		{"a reader lists", reader, "GET", "/projects?member=ops&q=w", "", "", 200, ""},
		{"one that is there", c.admin, "POST", "/projects", `{"name": "web"}`, "", 409, "conflict"},
		{"no name", c.admin, "POST", "/projects", `{"members": []}`, "", 422, "invalid"},
		{"a name that cannot be in a path", c.admin, "POST", "/projects", `{"name": "a/b"}`, "", 422, "invalid"},
		{"a name that looks like another", c.admin, "POST", "/projects", `{"name": " web"}`, "", 422, "invalid"},
		{"a member without a record", c.admin, "POST", "/projects", `{"name": "x", "members": ["none"]}`, "", 422, "invalid"},
		{"mass assignment", c.admin, "POST", "/projects", `{"name": "x", "created_by": "bob"}`, "", 422, "invalid"},
		{"another name", c.admin, "PATCH", "/projects/web", `{"name": "x"}`, "", 422, "invalid"},
		{"members that are text", c.admin, "PATCH", "/projects/web", `{"members": "ops"}`, "", 422, "invalid"},
		{"an unknown filter", c.admin, "GET", "/projects?members=ops", "", "", 422, "invalid"},
		{"another version changed", c.admin, "PATCH", "/projects/web", `{"members": []}`, `"other"`, 412, "changed"},
		{"another version deleted", c.admin, "DELETE", "/projects/web", "", `"other"`, 412, "changed"},
		{"a key of a project without a record", c.admin, "POST", "/keys", `{"name": "x", "project": "none"}`, "", 422, "invalid"},
		{"the version that is there", c.admin, "PATCH", "/projects/web", `{"description": "x"}`, tag, 200, ""},
		{"members that are null", c.admin, "PATCH", "/projects/app", `{"members": null}`, "", 200, ""},
		{"an earlier version", c.admin, "PATCH", "/projects/web", `{"description": "y"}`, tag, 412, "changed"},
		{"one that is not there", c.admin, "DELETE", "/projects/none", "", "", 404, "not_found"},
	} {
		var header []string
		if test.tag != "" {
			header = []string{"If-Match", test.tag}
		}
		got := c.call(test.key, test.method, test.path, test.body, header...)
		problem, _ := got.body["type"].(string)
		if got.status != test.status || strings.TrimPrefix(problem, "https://keyward.dev/errors/") != test.problem {
			t.Errorf("%s: %d %v, want %d %s", test.what, got.status, got.body, test.status, test.problem)
		}
	}
	if items := c.must("GET", "/projects?member=ops", "").body["items"].([]any); len(items) != 1 || items[0].(map[string]any)["name"] != "web" {
		t.Errorf("%v", items)
	}
}

// TestProjectOnce: a request that is sent again makes one project.
func TestProjectOnce(t *testing.T) {
	c := startConsoleWith(t, withProjects)
	for range 2 {
		got := c.call(c.admin, "POST", "/projects", `{"name": "web"}`, "Idempotency-Key", "one")
		if got.status != 201 || got.body["name"] != "web" {
			t.Errorf("%d %v", got.status, got.body)
		}
	}
	c.must("DELETE", "/projects/web", "")
	c.call(c.admin, "POST", "/projects", `{"name": "web"}`, "Idempotency-Key", "one")
	if got := c.call(c.admin, "GET", "/projects/web", ""); got.status != 404 {
		t.Errorf("sent again after it was deleted: %d %v", got.status, got.body)
	}
	var actions []any
	for _, e := range c.must("GET", "/audit?target=web", "").body["items"].([]any) {
		actions = append(actions, e.(map[string]any)["action"])
	}
	if fmt.Sprint(actions) != "[project.delete project.create]" {
		t.Errorf("%v", actions)
	}
}

// TestWithoutProjectsFile: where the configuration has no file of projects, there are
// none, and keys may name any.
func TestWithoutProjectsFile(t *testing.T) {
	aboutFiles(t)
	c := startConsole(t)
	for _, request := range [][3]string{
		{"POST", "/projects", `{"name": "web"}`}, {"GET", "/projects", ""}, {"GET", "/projects/web", ""},
		{"PATCH", "/projects/web", `{"members": []}`}, {"DELETE", "/projects/web", ""},
	} {
		if got := c.call(c.admin, request[0], request[1], request[2]); got.status != 404 {
			t.Errorf("%s %s: %d %v", request[0], request[1], got.status, got.body)
		}
	}
	c.must("POST", "/keys", `{"name": "x", "project": "any"}`)
}
