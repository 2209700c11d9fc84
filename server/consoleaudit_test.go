package server_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/audit"
)

// TestAuditEntryOfLongRequest: what a caller sends cannot make an entry that the log
// cannot have. The caller would be without an entry, and every later change would
// fail, since its entry would wait behind that one.
func TestAuditEntryOfLongRequest(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice"}`)
	for _, id := range []string{strings.Repeat("\xff", 14_000), strings.Repeat(`"`, 14_000), "a\tb\xff\u2028", strings.Repeat("ü", 200)} {
		made := c.must("POST", "/keys", `{"name": "x", "user": "alice"}`).body
		key, path := made["key"].(string), "/me/keys/"+made["id"].(string)+"/revoke"
		c.call(key, "POST", "/keys", `{"name": "refused"}`, "X-Request-Id", id)
		if got := c.call(key, "POST", path, "", "X-Request-Id", id); got.status != 200 {
			t.Errorf("%.8q: %d", id, got.status)
		}
		for _, want := range []string{"key.create refused", "key.revoke done"} {
			action, outcome, _ := strings.Cut(want, " ")
			items := c.must("GET", "/audit?limit=1&action="+action+"&actor="+made["id"].(string), "").body["items"].([]any)
			if len(items) != 1 {
				t.Errorf("%.8q: no entry %s", id, want)
				continue
			}
			e := items[0].(map[string]any)
			if requestID, _ := e["request_id"].(string); e["outcome"] != outcome || e["behind"] != nil || len(requestID) > 255 {
				t.Errorf("%.8q: %v", id, e)
			}
		}
	}
}

// TestAuditTargetOfRefusal: the entry of a refusal does not have the secret that the
// caller sent in place of an id, and is short.
func TestAuditTargetOfRefusal(t *testing.T) {
	c := startConsole(t)
	key := c.must("POST", "/keys", `{"name": "x"}`).body["key"].(string)
	for _, path := range []string{"/keys/" + key + "/revoke", "/keys/" + key, "/users/" + strings.Repeat("%01", 3000) + "/password", "/users/" + strings.Repeat("ü", 1000) + "/x"} {
		c.call(key, "POST", path, "")
	}
	items := c.must("GET", "/audit?limit=4", "").body["items"].([]any)
	if text := fmt.Sprint(items); strings.Contains(text, key) || !strings.Contains(text, "redacted") {
		t.Errorf("%s", text)
	}
	for _, e := range items {
		if target, _ := e.(map[string]any)["target"].(string); len(target) > 255 {
			t.Errorf("a target of %d bytes", len(target))
		}
	}
}

// TestAuditEntryThatACommandLeft: the next change by the API closes the entry of a
// command that died before it changed its file, whichever file that was.
func TestAuditEntryThatACommandLeft(t *testing.T) {
	aboutFiles(t)
	c := startConsole(t)
	for i, left := range []string{"key.revoke", "user.delete", "revocation.create"} {
		c.must("POST", "/users", fmt.Sprintf(`{"name": "u%d"}`, i))
		last := c.must("GET", "/audit?limit=1", "").body["items"].([]any)[0].(map[string]any)["seq"].(float64)
		log, err := os.OpenFile(c.path("audit.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(log, `{"seq":%d,"time":"2026-01-01T00:00:00Z","actor":"cli:ada@server","action":%q,"target":"left","via":"cli","outcome":"done"}`+"\n", int(last)+1, left)
		if err := errors.Join(err, log.Close()); err != nil {
			t.Fatal(err)
		}
		c.must("POST", "/keys", `{"name": "next"}`)
		items := c.must("GET", "/audit?limit=1&action="+left, "").body["items"].([]any)
		if len(items) != 1 || items[0].(map[string]any)["outcome"] != "not_done" {
			t.Errorf("%s: %v", left, items)
		}
	}
}

// TestAuditEntriesOfUnknownClients: what clients do that are not authenticated is counted,
// and is an entry at the latest when the server ends. A caller whose key is valid is not
// among them.
func TestAuditEntriesOfUnknownClients(t *testing.T) {
	c := startConsole(t)
	for range 3 {
		c.call("", "GET", "/keys", "")
		c.call("kw_00000000000000000000000000000000000000", "POST", "/keys", "{}")
	}
	c.call(c.admin, "GET", "/keys/a%2fb", "")
	limited := c.must("POST", "/keys", `{"name": "x", "rate": "1/h"}`).body["key"].(string)
	if first, second := c.call(limited, "GET", "/me", ""), c.call(limited, "GET", "/me", ""); first.status != 200 || second.status != 429 {
		t.Errorf("%d, then %d", first.status, second.status)
	}
	if items := c.must("GET", "/audit?action=unknown.credential", "").body["items"].([]any); len(items) != 0 {
		t.Errorf("before the minute is over: %v", items)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	entries, _, err := c.audit().List(t.Context(), store.AuditFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, e := range entries {
		if e.Actor == "" && e.Outcome == audit.Refused && e.Via == audit.ViaAPI {
			got[string(e.Action)+" "+e.Reason] += e.Count
		}
	}
	want := map[string]int64{"unknown.credential no_credential": 3, "unknown.credential invalid_token": 3, "unknown.request ambiguous_path": 1}
	if !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestManageMetrics: requests to the API are counted by route, also those that are
// denied or have none, and the changes that they made by action.
func TestManageMetrics(t *testing.T) {
	c := startConsole(t)
	id := c.must("POST", "/keys", `{"name": "x"}`).body["id"].(string)
	other := c.must("POST", "/keys", `{"name": "y"}`).body["id"].(string)
	c.must("POST", "/keys/revoke", fmt.Sprintf(`{"ids": [%q, %q]}`, id, other))
	c.call("", "GET", "/keys/"+id, "")
	c.call(c.admin, "GET", "/nothing/"+id, "")
	_, metrics := c.get("/metrics")
	for _, want := range []string{
		`keyward_manage_requests_total{code="2xx",route="POST /api/v1/keys"} 2`,
		`keyward_manage_requests_total{code="2xx",route="POST /api/v1/keys/revoke"} 1`,
		`keyward_manage_requests_total{code="4xx",route="GET /api/v1/keys/{id}"} 1`,
		`keyward_manage_requests_total{code="4xx",route="other"} 1`,
		`keyward_manage_changes_total{action="key.create"} 2`,
		`keyward_manage_changes_total{action="key.revoke"} 2`,
		`keyward_manage_changes_total{action="user.create"} 0`,
		`keyward_sessions 0`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(metrics, id) {
		t.Error("a label has what a caller sent")
	}
}

// TestFailuresAreLogged: the caller learns that the store failed, and the log why.
func TestFailuresAreLogged(t *testing.T) {
	aboutFiles(t)
	c := startConsole(t)
	if err := errors.Join(os.Remove(c.path("users.jsonl.lock")), os.Symlink(c.path("elsewhere"), c.path("users.jsonl.lock")), os.Truncate(c.path("keyward.db"), 0)); err != nil {
		t.Fatal(err)
	}
	c.expect("a user", c.call(c.admin, "POST", "/users", `{"name": "alice"}`), 503, "store_unavailable")
	if log := c.log.String(); !strings.Contains(log, `"operation":"create-user"`) || !strings.Contains(log, "a symbolic link") {
		t.Error("the log has no cause")
	}
	c.expect("a link", c.link("GET", "/password/"+apikey.TokenPrefix+strings.Repeat("A", 43), ""), 503, "store_unavailable")
	if log := c.log.String(); !strings.Contains(log, "disk I/O error") && !strings.Contains(log, "malformed") && !strings.Contains(log, "no such table") {
		t.Error("the log has no cause of the link's failure")
	}
}
