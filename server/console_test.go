package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"keyward/internal/records"
	"keyward/store"
)

const consoleConfig = baseConfig + `
users: {file: DIR/users.jsonl}
revocations: {file: DIR/revocations.jsonl}
audit: {file: DIR/audit.jsonl}
state: {file: DIR/keyward.db}
`

// console is a server with the management API, and the key of an administrator.
type console struct {
	*running
	client *http.Client
	admin  string
}

func startConsole(t *testing.T) *console { return startConsoleWith(t, "") }

// startConsoleWith is startConsole with more lines of configuration.
func startConsoleWith(t *testing.T, more string) *console {
	t.Helper()
	return startConsoleOn(t, consoleConfig+more)
}

func startConsoleOn(t *testing.T, text string) *console {
	t.Helper()
	return startConsoleIn(t, newBackend(t, socketDir(t)), text)
}

// startConsoleIn is startConsole with the records in the backend.
func startConsoleIn(t *testing.T, b *backend, text string) *console {
	t.Helper()
	c := &console{}
	c.openIn(t, b, text, func(r *running) {
		if _, err := r.users().Set(context.Background(), "root", store.AnyVersion, records.UserPatch{Scopes: &[]string{"keyward:admin"}}); err != nil {
			t.Fatal(err)
		}
		c.admin = r.create(store.KeyParams{User: "root", Scopes: &[]string{"keyward:admin"}})
	})
	return c
}

// open starts the server, on files that prepare made.
func (c *console) open(t *testing.T, text string, prepare func(*running)) {
	t.Helper()
	c.openIn(t, newBackend(t, socketDir(t)), text, prepare)
}

func (c *console) openIn(t *testing.T, b *backend, text string, prepare func(*running)) {
	t.Helper()
	c.running = startIn(t, b, strings.Replace(text, `admin: "unix`, `console: "unix://DIR/console.sock", admin: "unix`, 1), prepare)
	c.client = &http.Client{Transport: &http.Transport{DialContext: dialUnix(c.path("console.sock"))}}
}

// projects makes the projects on record. With files there is no file of them: the project
// of a key is only a name.
func (c *console) projects(names ...string) {
	c.t.Helper()
	for _, name := range names {
		if c.db != nil {
			c.must("POST", "/projects", fmt.Sprintf(`{"name": %q}`, name))
		}
	}
}

// response is a response of the API.
type response struct {
	status int
	header http.Header
	body   map[string]any
}

// call sends a request with the key; body is JSON, "" is none.
func (c *console) call(key, method, path, body string, header ...string) response {
	c.t.Helper()
	r, err := http.NewRequest(method, "http://127.0.0.1/api/v1"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	if _, given := r.Header["Content-Type"]; body != "" && !given {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	got := response{status: answer.StatusCode, header: answer.Header}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &got.body); err != nil {
			c.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
	return got
}

// must is call of the administrator for a request that is done.
func (c *console) must(method, path, body string) response {
	c.t.Helper()
	got := c.call(c.admin, method, path, body)
	if got.status/100 != 2 {
		c.t.Fatalf("%s %s: %d %v", method, path, got.status, got.body)
	}
	return got
}

// TestManagedKey: a key that the API created is in force when it answers, and is
// refused when the API has answered that it is revoked.
func TestManagedKey(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
	for range 20 {
		made := c.must("POST", "/keys", `{"name": "ci", "user": "alice", "expires": "90d"}`)
		key, id := made.body["key"].(string), made.body["id"].(string)
		if status, reason := c.ask("/", key); status != 200 {
			t.Fatalf("a new key: %d %s", status, reason)
		}
		rotated := c.must("POST", "/keys/"+id+"/rotate", "").body["key"].(string)
		if status, reason := c.ask("/", key); status != 401 {
			t.Fatalf("the secret before: %d %s", status, reason)
		}
		if status, reason := c.ask("/", rotated); status != 200 {
			t.Fatalf("the new secret: %d %s", status, reason)
		}
		if got := c.must("POST", "/keys/"+id+"/revoke", "").body; got["state"] != "revoked" || got["key"] != nil {
			t.Fatalf("revoked: %v", got)
		}
		if status, reason := c.ask("/", rotated); status != 401 || reason != "revoked_key" {
			t.Fatalf("a revoked key: %d %s", status, reason)
		}
	}
	made := c.must("POST", "/keys", `{"name": "ci", "user": "alice"}`)
	c.must("PATCH", "/users/alice", `{"disabled": true}`)
	if status, reason := c.ask("/", made.body["key"].(string)); status != 401 {
		t.Errorf("the key of a disabled user: %d %s", status, reason)
	}
	c.must("DELETE", "/users/alice", "")
	if got := c.call(c.admin, "GET", "/users/alice", ""); got.status != 404 {
		t.Errorf("a deleted user: %d", got.status)
	}
}

// TestManagementDenials: what is refused, with the problem that the caller gets.
func TestManagementDenials(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
	plain := c.must("POST", "/keys", `{"name": "plain", "user": "alice"}`)
	plainKey := plain.body["key"].(string)
	bounded := c.must("POST", "/keys", `{"name": "bounded", "user": "alice", "scopes": ["read", "keyward:self"], "paths": ["/behind/the/proxy"]}`).body["key"].(string)
	revoked := c.must("POST", "/keys", `{"name": "revoked", "user": "alice"}`)
	c.must("POST", "/keys/"+revoked.body["id"].(string)+"/revoke", "")
	for _, test := range []struct {
		what, key, method, path, body string
		status                        int
		problem                       string
	}{
		{"no credential", "", "GET", "/me", "", 401, "unauthenticated"},
		{"an unknown key", "kw_0000000000000000000000000000000000000000", "GET", "/me", "", 401, "unauthenticated"},
		{"a revoked key", revoked.body["key"].(string), "GET", "/me", "", 401, "unauthenticated"},
		{"paths of a key", bounded, "GET", "/me", "", 200, ""},
		{"a key without roles", plainKey, "GET", "/me", "", 200, ""},
		{"keys of others", plainKey, "GET", "/keys", "", 403, "forbidden"},
		{"its own keys", plainKey, "GET", "/me/keys", "", 403, "forbidden"},
		{"users", bounded, "POST", "/users", `{"name": "bob"}`, 403, "forbidden"},
		{"a key for itself with more scopes", bounded, "POST", "/me/keys", `{"name": "x", "scopes": ["read", "write"], "paths": ["/behind/the/proxy"]}`, 403, "beyond_caller"},
		{"a key for itself with its user's scopes", bounded, "POST", "/me/keys", `{"name": "x", "paths": ["/behind/the/proxy"]}`, 403, "beyond_caller"},
		{"a key for itself with other paths", bounded, "POST", "/me/keys", `{"name": "x", "scopes": ["read"], "paths": ["/"]}`, 403, "beyond_caller"},
		{"a managing key for itself", bounded, "POST", "/me/keys", `{"name": "x", "scopes": ["keyward:self"], "paths": ["/behind/the/proxy"]}`, 403, "beyond_caller"},
		{"a key for itself", bounded, "POST", "/me/keys", `{"name": "x", "scopes": ["read"], "paths": ["/behind/the/proxy/x"]}`, 201, ""},
		{"a key for another through /me", bounded, "POST", "/me/keys", `{"name": "x", "user": "root", "scopes": ["read"]}`, 422, "invalid"},
		{"mass assignment", c.admin, "POST", "/keys", `{"name": "x", "hash": "00", "created": "2020-01-01T00:00:00Z"}`, 422, "invalid"},
		{"a member in another case", c.admin, "POST", "/keys", `{"name": "x", "User": "root"}`, 422, "invalid"},
		{"a member twice", c.admin, "POST", "/keys", `{"name": "x", "user": "alice", "user": "root"}`, 400, "malformed"},
		{"two documents", c.admin, "POST", "/keys", `{"name": "x"} {"name": "y"}`, 400, "malformed"},
		{"no JSON", c.admin, "POST", "/keys", `name=x`, 400, "malformed"},
		{"no body", c.admin, "POST", "/keys", ``, 400, "malformed"},
		{"a long body", c.admin, "POST", "/keys", `{"name": "` + strings.Repeat("x", 65<<10) + `"}`, 413, "too_large"},
		{"an unknown filter", c.admin, "GET", "/keys?owner=x", "", 422, "invalid"},
		{"an unknown state", c.admin, "GET", "/keys?state=gone", "", 422, "invalid"},
		{"no time", c.admin, "GET", "/keys?older_than=soon", "", 422, "invalid"},
		{"a time below zero", c.admin, "GET", "/keys?expiring=-1d", "", 422, "invalid"},
		{"a bad cursor", c.admin, "GET", "/keys?cursor=x", "", 422, "invalid"},
		{"a limit of 0", c.admin, "GET", "/keys?limit=0", "", 422, "invalid"},
		{"a limit over 1000", c.admin, "GET", "/keys?limit=1001", "", 422, "invalid"},
		{"an unknown path", c.admin, "GET", "/nothing", "", 404, "not_found"},
		{"an unknown key's id", c.admin, "GET", "/keys/k_000000000000", "", 404, "not_found"},
		{"another method", c.admin, "PUT", "/keys", `{"name": "x"}`, 405, "method_not_allowed"},
		{"an override of the method", c.admin, "GET", "/keys/" + plain.body["id"].(string) + "?_method=DELETE", "", 422, "invalid"},
		{"a user that is there", c.admin, "POST", "/users", `{"name": "alice"}`, 409, "conflict"},
		{"a reserved name", c.admin, "POST", "/users", `{"name": "k_000000000000"}`, 422, "invalid"},
		{"neither enabled nor disabled", c.admin, "PATCH", "/users/alice", `{"disabled": null}`, 422, "invalid"},
		{"a password that may stay, or not", c.admin, "PATCH", "/users/alice", `{"must_change": null}`, 422, "invalid"},
		{"a program, or not", c.admin, "PATCH", "/users/alice", `{"service": null}`, 422, "invalid"},
		{"the last administrator", c.admin, "PATCH", "/users/root", `{"disabled": true}`, 409, "conflict"},
		{"unused keys without a usage file", c.admin, "GET", "/keys?unused_for=90d", "", 422, "invalid"},
	} {
		if inPostgres && strings.Contains(test.path, "unused_for") {
			continue // a database has the use of all keys
		}
		got := c.call(test.key, test.method, test.path, test.body)
		problem, _ := got.body["type"].(string)
		if got.status != test.status || strings.TrimPrefix(problem, "https://keyward.dev/errors/") != test.problem {
			t.Errorf("%s: %d %v, want %d %s", test.what, got.status, got.body, test.status, test.problem)
		}
		if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", test.what, got.header)
		}
	}
}

// TestMediaTypes: a body is read as JSON if its header says that it is.
func TestMediaTypes(t *testing.T) {
	c := startConsole(t)
	key := "/keys/" + c.must("POST", "/keys", `{"name": "x"}`).body["id"].(string)
	const body = `{"name": "y"}`
	for _, test := range []struct {
		method, path, mediaType, coding string
		status                          int
	}{
		{"POST", "/keys", "application/json", "", 201},
		{"POST", "/keys", "application/json; charset=utf-8", "", 201},
		{"POST", "/keys", `Application/JSON;charset="UTF-8"`, "", 201},
		{"POST", "/keys", "application/json; charset=utf-16", "", 415},
		{"POST", "/keys", "application/json; charset=utf-8; charset=utf-16", "", 415},
		{"POST", "/keys", "application/json", "gzip", 415},
		{"POST", "/keys", "application/merge-patch+json", "", 415},
		{"POST", "/keys", "application/x-ndjson", "", 415},
		{"POST", "/keys", "application/problem+json", "", 415},
		{"POST", "/keys", "application/x-www-form-urlencoded", "", 415},
		{"POST", "/keys", "text/plain", "", 415},
		{"POST", "/keys", "*/*", "", 415},
		{"POST", "/keys", "json", "", 415},
		{"POST", "/keys", "", "", 415},
		{"PATCH", key, "application/json", "", 200},
		{"PATCH", key, "application/merge-patch+json", "", 200},
		{"PATCH", key, "application/merge-patch+json; charset=utf-8", "", 200},
		{"PATCH", key, "application/json-patch+json", "", 415},
		{"PATCH", key, "", "", 415},
		{"POST", key + "/revoke", "text/plain", "", 415},
		{"POST", "/keys/import", "application/json", "", 415},
	} {
		header := []string{"Content-Type", test.mediaType}
		if test.coding != "" {
			header = append(header, "Content-Encoding", test.coding)
		}
		got := c.call(c.admin, test.method, test.path, body, header...)
		problem, _ := got.body["type"].(string)
		if got.status != test.status || got.status == 415 && problem != "https://keyward.dev/errors/media_type" {
			t.Errorf("%s %s %q %s: %d %v, want %d", test.method, test.path, test.mediaType, test.coding, got.status, got.body, test.status)
		}
	}
	if got := c.call(c.admin, "POST", "/keys", body, "Content-Type", "application/json", "Content-Type", "text/plain"); got.status != 422 {
		t.Errorf("two media types: %d %v", got.status, got.body)
	}
}

// TestMethodOverride: headers by which some frameworks take another method change
// nothing, and neither does a second credential.
func TestMethodOverride(t *testing.T) {
	c := startConsole(t)
	id := c.must("POST", "/keys", `{"name": "x"}`).body["id"].(string)
	got := c.call(c.admin, "GET", "/keys/"+id, "", "X-HTTP-Method-Override", "DELETE", "X-Method-Override", "DELETE")
	if after := c.call(c.admin, "GET", "/keys/"+id, ""); got.status != 200 || after.status != 200 || after.body["state"] != "active" {
		t.Errorf("%d, then %d %v", got.status, after.status, after.body)
	}
	if got := c.call(c.admin, "GET", "/me", "", "Authorization", "Bearer "+c.admin); got.status != 400 && got.status != 401 {
		t.Errorf("two credentials: %d", got.status)
	}
}

// TestETags: a change of another version than the caller has seen is 412.
func TestETags(t *testing.T) {
	c := startConsole(t)
	made := c.must("POST", "/keys", `{"name": "x"}`)
	path, tag := "/keys/"+made.body["id"].(string), made.header.Get("ETag")
	if tag == "" || made.body["etag"] != tag {
		t.Errorf("ETag %q, etag %v", tag, made.body["etag"])
	}
	for _, test := range []struct {
		tag    string
		status int
	}{{`"other"`, 412}, {"W/" + tag, 412}, {strings.Trim(tag, `"`), 412}, {tag, 200}, {tag, 412}, {"*", 200}} {
		if got := c.call(c.admin, "POST", path+"/rotate", "", "If-Match", test.tag); got.status != test.status {
			t.Errorf("If-Match: %s: %d, want %d", test.tag, got.status, test.status)
		}
	}
}

// TestManagedPages: page after page has each key once, newest first, while keys are
// made.
func TestManagedPages(t *testing.T) {
	c := startConsole(t)
	want := map[string]bool{}
	for range 7 {
		want[c.must("POST", "/keys", `{"name": "x"}`).body["id"].(string)] = true
	}
	path := "/keys?q=x&limit=3"
	for {
		page := c.must("GET", path, "").body
		for _, item := range page["items"].([]any) {
			id := item.(map[string]any)["id"].(string)
			if !want[id] {
				t.Errorf("%s is twice in the list, or newer than it", id)
			}
			delete(want, id)
		}
		next, more := page["next_cursor"].(string)
		if !more {
			break
		}
		path = "/keys?q=x&limit=3&cursor=" + next
		c.must("POST", "/keys", `{"name": "x"}`)
	}
	if len(want) > 0 {
		t.Errorf("not in the list: %v", want)
	}
}

// TestOpenAPI compares docs/openapi.json with the document that is served. KEYWARD_UPDATE
// writes it.
func TestOpenAPI(t *testing.T) {
	c := startConsole(t)
	answer, err := c.client.Get("http://127.0.0.1/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	served, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, served, "", "  "); err != nil {
		t.Fatal(err)
	}
	const file = "../docs/openapi.json"
	if os.Getenv("KEYWARD_UPDATE") != "" {
		if err := os.WriteFile(file, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	published, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(published, pretty.Bytes()) {
		t.Errorf("docs/openapi.json is not the document that is served: KEYWARD_UPDATE=1 go test ./server -run TestOpenAPI writes it (%v)", err)
	}
}

// TestRevokeKeys: several keys end in one step; what is unknown or has ended already
// is said.
func TestRevokeKeys(t *testing.T) {
	c := startConsole(t)
	c.projects("a", "b")
	var ids, keys []string
	for _, project := range []string{"a", "a", "b"} {
		made := c.must("POST", "/keys", `{"name": "x", "project": "`+project+`"}`).body
		ids, keys = append(ids, made["id"].(string)), append(keys, made["key"].(string))
	}
	got := c.must("POST", "/keys/revoke", `{"ids": ["`+ids[0]+`", "k_000000000000", "k_000000000000"]}`).body
	if fmt.Sprint(got["revoked"], got["unknown"]) != fmt.Sprintf("[%s] [k_000000000000]", ids[0]) || got["seq"] == nil {
		t.Errorf("by ids: %v", got)
	}
	if got := c.must("POST", "/keys/revoke", `{"project": "a"}`).body; fmt.Sprint(got["revoked"]) != "["+ids[1]+"]" {
		t.Errorf("by project: %v", got)
	}
	for i, want := range []int{401, 401, 200} {
		if status, reason := c.ask("/", keys[i]); status != want {
			t.Errorf("key %d: %d %s", i, status, reason)
		}
	}
	c.must("POST", "/users", `{"name": "alice"}`)
	ofAlice := c.must("POST", "/keys", `{"name": "x", "user": "alice"}`).body
	if got := c.must("POST", "/keys/revoke", `{"user": "alice"}`).body; fmt.Sprint(got["revoked"]) != fmt.Sprint([]any{ofAlice["id"]}) {
		t.Errorf("by user: %v", got)
	}
	if status, reason := c.ask("/", ofAlice["key"].(string)); status != 401 {
		t.Errorf("a key of a user whose keys ended: %d %s", status, reason)
	}
	if status, reason := c.ask("/", c.must("POST", "/keys", `{"name": "x", "user": "alice"}`).body["key"].(string)); status != 200 {
		t.Errorf("the user's next key: %d %s", status, reason)
	}
	for _, body := range []string{`{}`, `{"ids": [], "project": ""}`, `{"ids": ["` + ids[2] + `"], "project": "b"}`} {
		if got := c.call(c.admin, "POST", "/keys/revoke", body); got.status != 422 {
			t.Errorf("%s: %d", body, got.status)
		}
	}
	if status, _ := c.ask("/", keys[2]); status != 200 {
		t.Error("a refused request revoked a key")
	}
}

// TestVerifyKey: the record of a secret is found, also of one that has ended; a secret
// of no key counts as a failed attempt.
func TestVerifyKey(t *testing.T) {
	c := startConsole(t)
	made := c.must("POST", "/keys", `{"name": "x"}`).body
	key, id := made["key"].(string), made["id"].(string)
	state := func(secret, want string) {
		t.Helper()
		if got := c.must("POST", "/keys/verify", `{"key": "`+secret+`"}`).body; got["id"] != id || got["state"] != want || got["key"] != nil {
			t.Errorf("%v, want %s", got, want)
		}
	}
	state(key, "active")
	rotated := c.must("POST", "/keys/"+id+"/rotate", "").body["key"].(string)
	state(key, "revoked")
	state(rotated, "active")
	c.must("POST", "/keys/"+id+"/revoke", "")
	state(rotated, "revoked")
	if got := c.call(c.admin, "POST", "/keys/verify", `{"key": "kw_none"}`); got.status != 404 {
		t.Errorf("a secret of no key: %d", got.status)
	}
}

// TestDecision: a denial is found by the id that its client got, with what would be
// decided now.
func TestDecision(t *testing.T) {
	c := startConsole(t)
	made := c.must("POST", "/keys", `{"name": "x", "paths": ["/a"]}`).body
	if status, reason := c.ask("/b", made["key"].(string)); status != 403 || reason != "path_not_allowed" {
		t.Fatalf("%d %s", status, reason)
	}
	id := regexp.MustCompile(`"path":"/b".*?"id":"([A-Z2-7]{26})"`).FindStringSubmatch(c.log.String())
	if id == nil {
		t.Fatal("the log has no id")
	}
	got := c.must("GET", "/decisions/"+id[1], "").body
	denial, now := got["denial"].(map[string]any), got["now"].(map[string]any)
	if denial["reason"] != "path_not_allowed" || denial["key_id"] != made["id"] || now["reason"] != "path_not_allowed" {
		t.Errorf("%v", got)
	}
	if got := c.call(c.admin, "GET", "/decisions/AAAA", ""); got.status != 404 {
		t.Errorf("an unknown id: %d", got.status)
	}
	used := c.must("GET", "/keys/"+made["id"].(string)+"/usage", "").body
	if used["total"] != 1.0 || len(used["days"].([]any)) != 30 {
		t.Errorf("usage: %v", used)
	}
}

// TestManagedLimits: a key's count is shown and reset.
func TestManagedLimits(t *testing.T) {
	c := startConsole(t)
	made := c.must("POST", "/keys", `{"name": "x", "rate": "2/h"}`).body
	key, path := made["key"].(string), "/limits/"+made["id"].(string)
	for i, want := range []int{200, 200, 429} {
		if status, reason := c.ask("/", key); status != want {
			t.Fatalf("request %d: %d %s", i, status, reason)
		}
	}
	if got := c.must("GET", path, "").body["limit"].(map[string]any); got["rate"] != "2/h" || got["remaining"] != 0.0 {
		t.Errorf("%v", got)
	}
	c.must("DELETE", path, "")
	if status, reason := c.ask("/", key); status != 200 {
		t.Errorf("after the reset: %d %s", status, reason)
	}
	if got := c.call(c.admin, "DELETE", "/limits/k_000000000000", ""); got.status != 404 {
		t.Errorf("no key: %d", got.status)
	}
	if got := c.must("GET", "/audit?action=limit.reset", "").body["items"].([]any); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// TestIdempotencyKey: a request that is sent again is carried out once, and its secret
// is shown once.
func TestIdempotencyKey(t *testing.T) {
	c := startConsole(t)
	c.projects("p", "q")
	again := func(key, path, body, name string) response {
		return c.call(key, "POST", path, body, "Idempotency-Key", name)
	}
	first := again(c.admin, "/keys", `{"name": "once", "project": "p"}`, "one")
	second := again(c.admin, "/keys", `{"project": "p",  "name": "once"}`, "one")
	switch {
	case first.status != 201 || first.body["key"] == nil:
		t.Errorf("first: %d %v", first.status, first.body)
	case second.status != 201 || second.body["key"] != nil || second.body["secret_shown"] != false || second.body["id"] != first.body["id"]:
		t.Errorf("second: %d %v", second.status, second.body)
	case second.header.Get("ETag") != first.header.Get("ETag"):
		t.Error("another ETag")
	}
	c.must("POST", "/users", `{"name": "admin", "scopes": ["keyward:admin"]}`)
	other := c.must("POST", "/keys", `{"name": "other", "user": "admin", "scopes": ["keyward:admin"]}`).body["key"].(string)
	for _, test := range []struct {
		what, key, path, body, name string
		status                      int
		problem                     string
	}{
		{"another body", c.admin, "/keys", `{"name": "twice", "project": "p"}`, "one", 422, "idempotency_reused"},
		{"another path", c.admin, "/me/keys", `{"name": "once", "project": "p"}`, "one", 422, "idempotency_reused"},
		{"another caller", other, "/keys", `{"name": "twice", "project": "q"}`, "one", 201, ""},
		{"a refusal", c.admin, "/keys", `{"name": "x", "rate": "fast"}`, "two", 422, "invalid"},
		{"the same, corrected", c.admin, "/keys", `{"name": "x", "rate": "1/s"}`, "two", 201, ""},
		{"a long name", c.admin, "/keys", `{"name": "x"}`, strings.Repeat("k", 256), 422, "invalid"},
		{"a user", c.admin, "/users", `{"name": "u", "password": "correct horse"}`, "three", 201, ""},
		{"a user, with another password", c.admin, "/users", `{"name": "u", "password": "wrong horse"}`, "three", 201, ""},
	} {
		got := again(test.key, test.path, test.body, test.name)
		problem, _ := got.body["type"].(string)
		if got.status != test.status || strings.TrimPrefix(problem, "https://keyward.dev/errors/") != test.problem {
			t.Errorf("%s: %d %v, want %d %s", test.what, got.status, got.body, test.status, test.problem)
		}
	}
	if n := len(c.must("GET", "/keys?project=p", "").body["items"].([]any)); n != 1 {
		t.Errorf("%d keys were made", n)
	}
	if inPostgres {
		return // what is in the state is the same
	}
	stored, err := os.ReadFile(c.path("keyward.db"))
	wal, _ := os.ReadFile(c.path("keyward.db-wal"))
	if err != nil || bytes.Contains(append(stored, wal...), []byte(first.body["key"].(string))) || bytes.Contains(append(stored, wal...), []byte("correct horse")) {
		t.Errorf("the state file has a secret (%v)", err)
	}
}

// TestConcurrentIdempotency: of requests that are sent at the same time under one
// name, one is carried out.
func TestConcurrentIdempotency(t *testing.T) {
	c := startConsole(t)
	c.projects("p", "q")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			got := c.call(c.admin, "POST", "/keys", `{"name": "once", "project": "p"}`, "Idempotency-Key", "one")
			if got.status != 201 && got.status != 409 {
				t.Errorf("%d %v", got.status, got.body)
			}
		})
	}
	wait.Wait()
	if n := len(c.must("GET", "/keys?project=p", "").body["items"].([]any)); n != 1 {
		t.Errorf("%d keys were made", n)
	}
}
