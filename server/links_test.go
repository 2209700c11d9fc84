package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/session"
	"keyward/manage/state"
)

// link sends a request without a credential to a link.
func (c *console) link(method, path, body string, header ...string) response {
	c.t.Helper()
	r, err := http.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	answer, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	got := response{status: answer.StatusCode, header: answer.Header}
	_ = json.NewDecoder(answer.Body).Decode(&got.body) // a 204 has none
	return got
}

// TestPasswordLink: an administrator makes it, its holder uses it once, and the log
// never has it.
func TestPasswordLink(t *testing.T) {
	c := startConsoleWith(t, "console: {public_url: "+publicURL+"}\n")
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
	c.must("POST", "/users", `{"name": "ops", "scopes": ["read", "keyward:users"]}`)
	ops := c.must("POST", "/keys", `{"name": "ops", "user": "ops", "scopes": ["read", "keyward:users"]}`).body["key"].(string)
	older := c.must("POST", "/users/alice/password", `{"link": true}`).body["link"].(string)
	made := c.call(ops, "POST", "/users/alice/password", `{"link": true}`)
	c.expect("by keyward:users", made, 200, "")
	link, _ := made.body["link"].(string)
	path, ok := strings.CutPrefix(link, publicURL)
	if !ok || !strings.HasPrefix(path, "/password/") || made.body["expires"] == nil {
		t.Fatalf("the link: %v", made.body)
	}
	c.expect("for an administrator", c.call(ops, "POST", "/users/root/password", `{"link": true}`), 403, "forbidden")
	c.expect("a password by keyward:users", c.call(ops, "POST", "/users/alice/password", `{"password": "correct horse"}`), 403, "forbidden")
	for _, body := range []string{`{}`, `{"link": false}`, `{"link": true, "password": "correct horse"}`, `{"link": true, "user": "root"}`} {
		c.expect(body, c.call(c.admin, "POST", "/users/alice/password", body), 422, "invalid")
	}

	const body = `{"password": "correct horse"}`
	c.expect("the older link", c.link("GET", strings.TrimPrefix(older, publicURL), ""), 404, "not_found")
	if got := c.link("GET", path, ""); got.status != 200 || got.body["purpose"] != "password" || got.body["user"] != "alice" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("reading it: %d %v", got.status, got.body)
	}
	c.expect("from nowhere", c.link("POST", path, body), 403, "cross_origin")
	c.expect("from another site", c.link("POST", path, body, "Sec-Fetch-Site", "cross-site"), 403, "cross_origin")
	c.expect("a short password", c.link("POST", path, `{"password": "short"}`, sameOrigin...), 422, "invalid")
	c.expect("another member", c.link("POST", path, `{"password": "correct horse", "name": "root"}`, sameOrigin...), 422, "invalid")
	c.expect("another method", c.link("DELETE", path, "", sameOrigin...), 405, "method_not_allowed")
	c.expect("as another link", c.link("GET", strings.Replace(path, "password", "setup", 1), ""), 404, "not_found")
	c.expect("used", c.link("POST", path, body, "Origin", publicURL), 204, "")
	c.expect("used again", c.link("POST", path, body, sameOrigin...), 404, "not_found")
	c.expect("read again", c.link("GET", path, ""), 404, "not_found")
	c.expect("with more behind it", c.link("GET", path+"/x", ""), 404, "not_found")
	cookie := c.login("alice")
	c.expect("the password", c.with(cookie, "POST", "/me/password", `{"current": "correct horse", "password": "battery staple"}`, sameOrigin...), 204, "")
	for _, secret := range []string{path[len("/password/"):], older[strings.LastIndex(older, "/")+1:], "correct horse"} {
		if strings.Contains(c.log.String(), secret) || strings.Contains(fmt.Sprint(c.must("GET", "/audit?limit=1000", "").body), secret) {
			t.Error("a secret is in a log")
		}
	}
	if !strings.Contains(c.log.String(), `"path":"/password/"`) {
		t.Error("no decision about a link is in the log")
	}
}

// TestSetupLink: the first administrator is made by the link and is logged in by it.
func TestSetupLink(t *testing.T) {
	c := &console{}
	c.open(t, consoleConfig, func(*running) {})
	token, _, err := c.state().Codes.Issue(context.Background(), 0, state.PurposeSetup, "", "", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	path := "/setup/" + token.Reveal()
	if got := c.link("GET", path, ""); got.status != 200 || got.body["purpose"] != "setup" || got.body["user"] != nil {
		t.Errorf("reading it: %d %v", got.status, got.body)
	}
	const body = `{"name": "first", "password": "correct horse"}`
	c.expect("from nowhere", c.link("POST", path, body), 403, "cross_origin")
	c.expect("a name that no path can have", c.link("POST", path, `{"name": "a/b", "password": "correct horse"}`, sameOrigin...), 422, "invalid")
	got := c.link("POST", path, body, sameOrigin...)
	c.expect("used", got, 201, "")
	c.expect("used again", c.link("POST", path, `{"name": "second", "password": "correct horse"}`, sameOrigin...), 404, "not_found")
	value, _, _ := strings.Cut(strings.TrimPrefix(got.header.Get("Set-Cookie"), session.CookieName+"="), ";")
	cookie := authz.NewSecret(value)
	made := c.with(cookie, "POST", "/me/keys", `{"name": "admin", "scopes": ["keyward:admin"]}`, sameOrigin...)
	c.expect("a key of the administrator", made, 201, "")
	c.expect("by it", c.call(made.body["key"].(string), "GET", "/users", ""), 200, "")
	token, _, err = c.state().Codes.Issue(context.Background(), 0, state.PurposeSetup, "", "", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c.expect("another link, now that there is an administrator", c.link("GET", "/setup/"+token.Reveal(), ""), 404, "not_found")
	for _, secret := range []string{token.Reveal(), value, "correct horse"} {
		if strings.Contains(c.log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

// TestGuessedLinks: codes that are wrong count as failed credentials of their address.
func TestGuessedLinks(t *testing.T) {
	c := startConsoleWith(t, "rate_limits: {failed: 5/m}\n")
	c.must("POST", "/users", `{"name": "alice"}`)
	link := c.must("POST", "/users/alice/password", `{"link": true}`).body["link"].(string)
	path := strings.TrimPrefix(link, "http://127.0.0.1")
	guesser, holder := []string{"X-Forwarded-For", "192.0.2.7"}, []string{"X-Forwarded-For", "192.0.2.8"}
	for i := range 5 {
		c.expect("a guess", c.link("GET", fmt.Sprintf("/password/%043d", i), "", guesser...), 404, "not_found")
	}
	got := c.link("GET", path, "", guesser...)
	c.expect("the link, from there", got, 429, "rate_limited")
	if got.header.Get("Retry-After") == "" || got.header.Get("X-Keyward-Decision-Id") == "" {
		t.Errorf("%v", got.header)
	}
	c.expect("a key, from there", c.call(c.admin, "GET", "/me", "", guesser...), 429, "rate_limited")
	c.expect("the link, from elsewhere", c.link("GET", path, "", holder...), 200, "")
}

// TestRevocations: tokens are revoked by an administrator, and the list shows it.
func TestRevocations(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "reader", "scopes": ["keyward:read"]}`)
	reader := c.must("POST", "/keys", `{"name": "r", "user": "reader", "scopes": ["keyward:read"]}`).body["key"].(string)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
	past := time.Now().Add(-time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
	for body, status := range map[string]int{
		`{"jti": "t1", "until": "` + until + `", "reason": "leaked"}`: 201,
		`{"sid": "s1"}`: 201,
		`{"subject": "alice", "issued_before": "` + past + `"}`:        201,
		`{"issued_before": "` + past + `"}`:                            201,
		`{}`:                                                           422,
		`{"subject": "alice"}`:                                         422,
		`{"jti": "t1", "sid": "s1"}`:                                   422,
		`{"jti": "t1", "issued_before": "` + past + `"}`:               422,
		`{"jti": "t1", "until": "` + past + `"}`:                       422,
		`{"jti": " t1"}`:                                               422,
		`{"issued_before": "1950-01-01T00:00:00Z"}`:                    422,
		`{"jti": "t1", "reason": "` + strings.Repeat("x", 2000) + `"}`: 422,
	} {
		problem := map[int]string{201: "", 422: "invalid"}[status]
		got := c.call(c.admin, "POST", "/revocations", body)
		c.expect(body, got, status, problem)
		if status == 201 && (got.body["at"] == nil || got.body["by"] != "root" || got.body["seq"] != nil) {
			t.Errorf("%s: %v", body, got.body)
		}
	}
	c.expect("by keyward:read", c.call(reader, "POST", "/revocations", `{"jti": "t2"}`), 403, "forbidden")
	if got := c.call(reader, "GET", "/revocations", ""); got.status != 200 || len(got.body["items"].([]any)) != 4 {
		t.Errorf("the list: %d %v", got.status, got.body)
	}
	items := c.must("GET", "/revocations?jti=t1", "").body["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["until"] != until || items[0].(map[string]any)["reason"] != "leaked" {
		t.Errorf("by jti: %v", items)
	}
	const again = `{"jti": "once"}`
	first := c.call(c.admin, "POST", "/revocations", again, "Idempotency-Key", "a")
	second := c.call(c.admin, "POST", "/revocations", again, "Idempotency-Key", "a")
	if first.status != 201 || fmt.Sprint(first.body) != fmt.Sprint(second.body) {
		t.Errorf("once: %v, then %v", first.body, second.body)
	}
	if items := c.must("GET", "/revocations?jti=once", "").body["items"].([]any); len(items) != 1 {
		t.Errorf("made %d times", len(items))
	}
}

// TestNoRevocations: without a file there are none, and the answer says so.
func TestNoRevocations(t *testing.T) {
	aboutFiles(t)
	c := startConsoleOn(t, strings.Replace(consoleConfig, "revocations: {file: DIR/revocations.jsonl}\n", "", 1))
	c.expect("revoking", c.call(c.admin, "POST", "/revocations", `{"jti": "t1"}`), 404, "not_found")
	c.expect("listing", c.call(c.admin, "GET", "/revocations", ""), 404, "not_found")
}
