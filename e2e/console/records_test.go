package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
)

// hostile is a text that would run a script if a page took it for more than a text, and
// that turns the direction of what follows it.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>` + "é"

// records are some of each kind, with hostile texts where a record takes them.
type records struct {
	admin                          string // an administrator's key
	key, rotating, paused, revoked string // ids
	mine                           string // the id of a key of root
	client                         string // id
	link                           string // the path of a one-time link
	decision                       string // the id of a denial
}

// call makes a call of the management API with the administrator's key.
func (s *site) call(admin, method, path string, body any) map[string]any {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequest(method, s.console+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+admin)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s %s %v", method, path, response.Status, got, err)
	}
	var answer map[string]any
	if len(got) > 0 {
		if err := json.Unmarshal(got, &answer); err != nil {
			s.t.Fatal(err)
		}
	}
	return answer
}

// fill makes records, and requests with the keys.
func (s *site) fill() (r records) {
	s.t.Helper()
	r.admin = s.run("", "key", "create", "--name", "admin", "--user", "root", "--scope", "keyward:admin")
	post := func(path string, body map[string]any) map[string]any { return s.call(r.admin, "POST", path, body) }
	id := func(made map[string]any) string { return fmt.Sprint(made["id"]) }
	post("/users", map[string]any{"name": "alice", "scopes": []string{"orders:read", "orders:write"}})
	post("/users", map[string]any{"name": "warehouse", "service": true, "paths": []string{"/stock"}})
	post("/users", map[string]any{"name": "gone", "disabled": true})
	post("/projects", map[string]any{"name": "web", "description": hostile, "members": []string{"root", "alice"}})
	r.client = id(post("/clients", map[string]any{"name": hostile, "redirect_uris": []string{"https://app.example.com/callback"}, "scopes": []string{"orders:read"}, "grants": []string{"authorization_code"}}))
	post("/revocations", map[string]any{"subject": hostile, "issued_before": "2026-01-01T00:00:00Z", "reason": hostile})

	made := post("/keys", map[string]any{"name": hostile, "description": hostile, "owner": hostile, "user": "alice", "expires": "5d", "scopes": []string{"orders:read"}, "paths": []string{"/orders"}})
	r.key = id(made)
	r.mine = id(post("/keys", map[string]any{"name": "mine " + hostile, "user": "root", "project": "web"}))
	r.rotating = id(post("/keys", map[string]any{"name": "rotating", "user": "alice"}))
	post("/keys/"+r.rotating+"/rotate", map[string]any{"grace": "24h"})
	r.paused = id(post("/keys", map[string]any{"name": "paused", "user": "warehouse"}))
	post("/keys/"+r.paused+"/pause", map[string]any{"reason": hostile})
	r.revoked = id(post("/keys", map[string]any{"name": "revoked", "user": "alice"}))
	post("/keys/"+r.revoked+"/revoke", map[string]any{"reason": hostile})
	for i := range 60 {
		post("/keys", map[string]any{"name": fmt.Sprint("nightly-export-", i, ", production"), "user": "alice", "project": "web", "expires": "90d"})
	}
	link := fmt.Sprint(post("/users/alice/password", map[string]any{"link": true})["link"])
	r.link = "/password/" + link[strings.LastIndex(link, "/")+1:]
	for _, path := range []string{"/orders", "/orders", "/elsewhere", "/<script>alert(3)</script>"} {
		r.decision = s.request(fmt.Sprint(made["key"]), path)
	}
	return r
}

// request sends a request through Envoy, and returns the id of the decision; "" for one that
// is allowed.
func (s *site) request(key, path string) (decision string) {
	s.t.Helper()
	out, err := exec.Command("curl", "-sS", "-o", "/dev/null", "--globoff", "-w", "%header{x-keyward-decision-id}", "-H", "Authorization: Bearer "+key, s.api+path).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}
