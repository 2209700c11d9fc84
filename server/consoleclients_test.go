package server_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const withClients = "clients: {file: DIR/clients.jsonl}\n"

// TestClients: an OAuth client gets its secret once, and each of its changes is in the
// audit log without it.
func TestClients(t *testing.T) {
	c := startConsoleWith(t, withClients)
	made := c.must("POST", "/clients", `{"name": "Shop", "redirect_uris": ["https://shop.example.com/cb"], "scopes": ["read"], "grants": ["authorization_code", "refresh_token"]}`)
	id, secret := made.body["id"].(string), made.body["secret"].(string)
	if made.status != 201 || !strings.HasPrefix(id, "c_") || made.body["etag"] != made.header.Get("ETag") || made.body["public"] != false {
		t.Errorf("%d %v", made.status, made.body)
	}
	path := "/clients/" + id
	if got := c.must("GET", path, "").body; got["secret"] != nil || got["hash"] != nil || fmt.Sprint(got["grants"]) != "[authorization_code refresh_token]" {
		t.Errorf("%v", got)
	}
	rotated := c.must("POST", path+"/rotate", `{"grace": "1h"}`).body
	if rotated["secret"] == secret || rotated["secret"] == nil || len(rotated["previous_until"].([]any)) != 1 {
		t.Errorf("%v", rotated)
	}
	if got := c.must("PATCH", path, `{"disabled": true}`).body; got["disabled"] != true || got["secret"] != nil {
		t.Errorf("%v", got)
	}
	public := c.must("POST", "/clients", `{"name": "App", "public": true, "redirect_uris": ["http://127.0.0.1/cb"], "grants": ["authorization_code"]}`).body
	if public["secret"] != nil {
		t.Errorf("a public client: %v", public)
	}
	if items := c.must("GET", "/clients?grant=refresh_token&q=hop", "").body["items"].([]any); len(items) != 1 || items[0].(map[string]any)["id"] != id {
		t.Errorf("%v", items)
	}
	c.must("DELETE", path, "")
	var actions []any
	for _, e := range c.must("GET", "/audit?target="+id, "").body["items"].([]any) {
		actions = append(actions, e.(map[string]any)["action"])
	}
	if fmt.Sprint(actions) != "[client.delete client.disable client.rotate client.create]" {
		t.Errorf("%v", actions)
	}
	for _, file := range []string{"audit.jsonl", "clients.jsonl"} {
		if inPostgres && file == "audit.jsonl" {
			continue
		}
		text, err := os.ReadFile(c.path(file))
		if err != nil || strings.Contains(string(text), secret) || strings.Contains(string(text), rotated["secret"].(string)) {
			t.Errorf("%s has a secret (%v)", file, err)
		}
	}
	if log := c.log.String(); strings.Contains(log, secret) || strings.Contains(log, rotated["secret"].(string)) {
		t.Error("the log has a secret")
	}
}

// TestClientRequests: what is refused, with the problem that the caller gets.
func TestClientRequests(t *testing.T) {
	c := startConsoleWith(t, withClients)
	c.must("POST", "/users", `{"name": "ops", "scopes": ["keyward:keys", "keyward:users", "keyward:read", "read"]}`)
	ops := c.must("POST", "/keys", `{"name": "ops", "user": "ops", "scopes": ["keyward:keys", "keyward:users", "read"]}`).body["key"].(string)
	reader := c.must("POST", "/keys", `{"name": "reader", "user": "ops", "scopes": ["keyward:read"]}`).body["key"].(string)
	made := c.must("POST", "/clients", `{"name": "Report", "scopes": ["read"], "grants": ["client_credentials"]}`)
	path := "/clients/" + made.body["id"].(string)
	public := "/clients/" + c.must("POST", "/clients", `{"name": "App", "public": true, "redirect_uris": ["http://[::1]/cb"], "grants": ["authorization_code"]}`).body["id"].(string)
	const program = `"grants": ["client_credentials"]`
	for _, test := range []struct {
		what, key, method, path, body, tag string
		status                             int
		problem                            string
	}{
		{"no administrator creates", ops, "POST", "/clients", `{"name": "x", ` + program + `}`, "", 403, "forbidden"},
		{"no administrator changes", ops, "PATCH", path, `{"disabled": false}`, "", 403, "forbidden"},
		{"no administrator rotates", ops, "POST", path + "/rotate", "", "", 403, "forbidden"},
		{"no administrator deletes", ops, "DELETE", path, "", "", 403, "forbidden"},
		{"no reader reads", ops, "GET", path, "", "", 403, "forbidden"},
		{"no reader lists", ops, "GET", "/clients", "", "", 403, "forbidden"},
		{"a reader rotates", reader, "POST", path + "/rotate", "", "", 403, "forbidden"},
		{"a reader reads", reader, "GET", path, "", "", 200, ""},
		{"a reader lists", reader, "GET", "/clients", "", "", 200, ""},
		{"no grants", c.admin, "POST", "/clients", `{"name": "x"}`, "", 422, "invalid"},
		{"a grant that is not offered", c.admin, "POST", "/clients", `{"name": "x", "grants": ["password"]}`, "", 422, "invalid"},
		{"a public client for itself", c.admin, "POST", "/clients", `{"name": "x", "public": true, ` + program + `}`, "", 422, "invalid"},
		{"a redirect in the clear", c.admin, "POST", "/clients", `{"name": "x", "redirect_uris": ["http://shop.example.com/"], "grants": ["authorization_code"]}`, "", 422, "invalid"},
		{"a managing scope", c.admin, "POST", "/clients", `{"name": "x", "scopes": ["keyward:read"], ` + program + `}`, "", 422, "invalid"},
		{"a secret of the caller's", c.admin, "POST", "/clients", `{"name": "x", "secret": "x", ` + program + `}`, "", 422, "invalid"},
		{"an id of the caller's", c.admin, "POST", "/clients", `{"name": "x", "id": "c_0123456789ab", ` + program + `}`, "", 422, "invalid"},
		{"made public", c.admin, "PATCH", path, `{"public": true}`, "", 422, "invalid"},
		{"without a name", c.admin, "PATCH", path, `{"name": null}`, "", 422, "invalid"},
		{"without grants", c.admin, "PATCH", path, `{"grants": null}`, "", 422, "invalid"},
		{"neither enabled nor disabled", c.admin, "PATCH", path, `{"disabled": null}`, "", 422, "invalid"},
		{"given a managing scope", c.admin, "PATCH", path, `{"scopes": ["keyward:admin"]}`, "", 422, "invalid"},
		{"a grace that is not one", c.admin, "POST", path + "/rotate", `{"grace": "soon"}`, "", 422, "invalid"},
		{"the secret of a public client", c.admin, "POST", public + "/rotate", "", "", 409, "conflict"},
		{"another version changed", c.admin, "PATCH", path, `{"disabled": true}`, `"other"`, 412, "changed"},
		{"another version rotated", c.admin, "POST", path + "/rotate", "", `"other"`, 412, "changed"},
		{"another version deleted", c.admin, "DELETE", path, "", `"other"`, 412, "changed"},
		{"no scopes", c.admin, "PATCH", path, `{"scopes": null}`, made.header.Get("ETag"), 200, ""},
		{"one that is not there", c.admin, "GET", "/clients/c_000000000000", "", "", 404, "not_found"},
	} {
		var header []string
		if test.tag != "" {
			header = []string{"If-Match", test.tag}
		}
		got := c.call(test.key, test.method, test.path, test.body, header...)
		problem, _ := got.body["type"].(string)
		if got.status != test.status || strings.TrimPrefix(problem, "https://keyward.dev/errors/") != test.problem || got.body["secret"] != nil {
			t.Errorf("%s: %d %v, want %d %s", test.what, got.status, got.body, test.status, test.problem)
		}
	}
}

// TestClientOnce: requests that are sent again make one client and one new secret, which
// the first answer alone has.
func TestClientOnce(t *testing.T) {
	c := startConsoleWith(t, withClients)
	twice := func(path, body, name string) (first, second map[string]any) {
		t.Helper()
		first = c.call(c.admin, "POST", path, body, "Idempotency-Key", name).body
		second = c.call(c.admin, "POST", path, body, "Idempotency-Key", name).body
		if first["secret"] == nil || second["secret"] != nil || second["secret_shown"] != false || second["id"] != first["id"] {
			t.Errorf("%v, then %v", first, second)
		}
		return first, second
	}
	made, _ := twice("/clients", `{"name": "Shop", "grants": ["client_credentials"]}`, "one")
	twice("/clients/"+made["id"].(string)+"/rotate", "", "two")
	if items := c.must("GET", "/clients", "").body["items"].([]any); len(items) != 1 {
		t.Errorf("%v", items)
	}
	if entries := c.must("GET", "/audit?action=client.rotate", "").body["items"].([]any); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
}

// TestWithoutClientsFile: where the configuration has no file of clients, there are none.
func TestWithoutClientsFile(t *testing.T) {
	aboutFiles(t)
	c := startConsole(t)
	for _, request := range [][3]string{
		{"POST", "/clients", `{"name": "x", "grants": ["client_credentials"]}`}, {"GET", "/clients", ""}, {"GET", "/clients/c_000000000000", ""},
		{"PATCH", "/clients/c_000000000000", `{"disabled": true}`}, {"POST", "/clients/c_000000000000/rotate", ""}, {"DELETE", "/clients/c_000000000000", ""},
	} {
		if got := c.call(c.admin, request[0], request[1], request[2]); got.status != 404 {
			t.Errorf("%s %s: %d %v", request[0], request[1], got.status, got.body)
		}
	}
}
