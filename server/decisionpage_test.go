package server_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"keyward/authz"
)

// decisionLine is the line of the decision log about a request for the path.
func (c *console) decisionLine(path string) (line, id string) {
	c.t.Helper()
	for text := range strings.Lines(c.log.String()) {
		var fields struct{ Msg, Path, ID string }
		if json.Unmarshal([]byte(text), &fields) == nil && fields.Msg == "decision" && fields.Path == path {
			line, id = text, fields.ID
		}
	}
	if id == "" {
		c.t.Fatalf("no decision about %s: %s", path, c.log.String())
	}
	return line, id
}

// TestDecisionPage explains a denial by its id and by its line in the log: which check
// refuses, what is in force now, and what to do.
func TestDecisionPage(t *testing.T) {
	c := startConsoleWith(t, "routes: [{path: /orders, scopes: [orders:write]}]\n")
	c.must("POST", "/users", `{"name": "alice", "scopes": ["orders:read"]}`)
	root := c.login("root")
	keyID, secret := c.newKey(root, "/keys", "partner-feed", "user", "alice")
	c.accepted("without the scope", secret, 200)
	if status, reason := c.ask("/orders", secret); status != 403 || reason != authz.InsufficientScope.String() {
		t.Fatalf("without the scope: %d %s", status, reason)
	}
	line, id := c.decisionLine("/orders")

	form := c.page(root, "GET", "/decisions", nil)
	if c.ok("the form alone", form, 200, `name="id"`, `name="line"`); strings.Contains(form.body, "What to do") {
		t.Error("without an id something is explained")
	}
	c.ok("an unknown id", c.page(root, "GET", "/decisions?id=LMUJTC5LGUOI4YVXVRIEEUEPRX", nil), 404, "No denial of this process has this id")
	explained := []string{"insufficient_scope", "A scope that the route requires is missing", "denied again, for the same reason", `class="stop" aria-current="step"`, "Scopes, paths and project", "Not reached", "the scopes of its user", "orders:write", `href="/keys/` + keyID + `"`, "grant the scope"}
	c.ok("the denial", c.page(root, "GET", "/decisions?id="+id, nil), 200, explained...)
	pasted := c.page(root, "POST", "/decisions", url.Values{"line": {line}})
	c.ok("its line", pasted, 200, append(explained, "A log line can be written by anyone")...)

	c.must("PATCH", "/users/alice", `{"scopes": ["orders:write"]}`)
	c.ok("once it has the scope", c.page(root, "GET", "/decisions?id="+id, nil), 200, "would be allowed now")
	c.ok("its line", c.page(root, "POST", "/decisions", url.Values{"line": {line}}), 200, "would be allowed now")
	c.must("POST", "/keys/"+keyID+"/revoke", `{}`)
	c.ok("once the key is revoked", c.page(root, "GET", "/decisions?id="+id, nil), 200, "denied for another reason", "revoked_key")

	c.ask("/", "kw_not-a-key")
	if got := c.page(root, "GET", "/decisions", nil); strings.Contains(got.body, "not-a-key") {
		t.Error("a page has a credential")
	}
}

// TestDecisionLines: a pasted line is hostile until it was shown as text.
func TestDecisionLines(t *testing.T) {
	c := startConsole(t)
	root := c.login("root")
	for _, bad := range []string{"", "no json", `{"decision":"allow","reason":"ok","path":"/"}`, `{"decision":"deny","reason":"ok","path":"/"}`, `{"decision":"deny","reason":"no_such","path":"/"}`,
		`{"decision":"deny","reason":"no_credential"}`, `{"decision":5}`, `["deny"]`, hostile, `{"decision":"deny","path":"/","reason":"no_credential","x":"` + strings.Repeat("x", 33<<10) + `"}`} {
		got := c.page(root, "POST", "/decisions", url.Values{"line": {bad}})
		c.ok(bad[:min(len(bad), 60)], got, 422, `href="#line"`, "Error: ")
		c.clean(bad[:min(len(bad), 60)], got)
	}
	fields := map[string]any{"decision": "deny", "reason": "unknown_key", "time": "2026-11-27T14:03:00Z", "path_truncated": false, "transport": "grpc"}
	for _, name := range []string{"id", "cause", "method", "scheme", "host", "path", "client", "request_id", "route", "limit", "auth_method", "subject", "client_id", "key_id"} {
		fields[name] = hostile + "\u202e" + name
	}
	for _, transport := range []string{"grpc", "manage", "verify", hostile} {
		for _, method := range []string{"", "api_key", "basic", "jwt", hostile} {
			fields["transport"], fields["auth_method"] = transport, method
			line, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			got := c.page(root, "POST", "/decisions", url.Values{"line": {string(line)}})
			c.ok(transport+method, got, 200, "unknown_key", "&lt;script&gt;")
			c.clean(transport+method, got)
			// What was typed stays in its field as it is.
			if rest, _, _ := strings.Cut(got.body, "<textarea"); strings.Contains(rest, "\u202e") {
				t.Errorf("%s %s: a hidden character is shown: %s", transport, method, got.main())
			}
		}
	}
	c.clean("an id", c.page(root, "GET", "/decisions?id="+url.QueryEscape(hostile), nil))
}

// TestDecisionPageNamesConditions: what a route needs beside scopes is shown.
func TestDecisionPageNamesConditions(t *testing.T) {
	c := startConsoleWith(t, "routes: [{path: /orders, scopes_any: [orders:read, orders:admin]}, {path: \"/users/{subject}\"}]\n")
	root := c.login("root")
	_, secret := c.newKey(root, "/keys", "partner-feed", "user", "root")
	for path, want := range map[string][]string{
		"/orders":       {"insufficient_scope", "with one of", "orders:admin", "orders:read"},
		"/users/alice":  {"path_not_allowed", "the segment <code>{subject}</code> of <code>/users/{subject}</code>"},
		"/users/root/x": nil,
	} {
		if status, reason := c.ask(path, secret); want == nil && status != 200 || want != nil && reason != want[0] {
			t.Fatalf("%s: %d %s", path, status, reason)
		}
		if want != nil {
			_, id := c.decisionLine(path)
			c.ok(path, c.page(root, "GET", "/decisions?id="+id, nil), 200, want...)
		}
	}
}
