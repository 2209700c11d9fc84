package server_test

import (
	"net/url"
	"strings"
	"testing"
)

// hostile is a text that would be markup, if a page had it as it is.
const hostile = `"><script>alert(1)</script>`

// clean fails the test if the answer has the hostile text as markup.
func (c *console) clean(what string, got answer) {
	c.t.Helper()
	if strings.Contains(got.body, "<script>alert") {
		c.t.Errorf("%s has a text as markup: %s", what, got.main())
	}
}

// TestAuditPage: each change is there with its actor, filters combine, pages follow each
// other, and no text of a name is markup.
func TestAuditPage(t *testing.T) {
	c := startConsole(t)
	root := c.login("root")
	c.must("POST", "/users", `{"name": "alice"}`)
	c.must("POST", "/users", `{"name": "bob", "scopes": ["keyward:keys"]}`)
	id, secret := c.newKey(root, "/keys", "nightly", "user", "alice")
	c.must("POST", "/keys/"+id+"/revoke", `{"reason": "\"><script>alert(1)</script>"}`)
	c.ok("a refusal", c.page(c.login("bob"), "GET", "/audit", nil), 403)

	all := c.page(root, "GET", "/audit", nil)
	c.ok("the log", all, 200, "key.create", "key.revoke", "user.create", `href="/keys/`+id+`"`, "refused", "console", `&lt;script&gt;alert(1)`)
	c.clean("the log", all)
	if strings.Contains(all.body, secret) {
		t.Error("the log has a secret")
	}
	rows := func(query string) int {
		got := c.page(root, "GET", "/audit?"+query, nil)
		c.ok(query, got, 200)
		c.clean(query, got)
		return strings.Count(got.body, `<th scope="row">`)
	}
	for query, want := range map[string]int{
		"target=" + id: 2, "target=" + id + "&action=key.revoke": 1, "target=" + id + "&action=key.revoke&actor=bob": 0, "actor=bob": 1,
		"target=" + id + "&since=24h": 2, "target=" + id + "&since=12h": 2, "action=key.pause": 0, "action=" + url.QueryEscape(hostile): 0, "actor=" + url.QueryEscape(hostile): 0,
	} {
		if got := rows(query); got != want {
			t.Errorf("%s: %d entries, want %d", query, got, want)
		}
	}
	c.ok("no match", c.page(root, "GET", "/audit?target=absent", nil), 200, "No entry matches", "/audit")
	for _, query := range []string{"since=soon", "since=-1h", "cursor=" + url.QueryEscape(hostile)} {
		got := c.page(root, "GET", "/audit?"+query, nil)
		c.ok(query, got, 422, "Error: ")
		c.clean(query, got)
	}
}

// TestAuditPager: the pages of the log follow each other with their filter, and have each
// entry once.
func TestAuditPager(t *testing.T) {
	c := startConsole(t)
	root := c.login("root")
	for i := range 60 {
		c.must("POST", "/users", `{"name": "user-`+string(rune('a'+i/26))+string(rune('a'+i%26))+`"}`)
	}
	first := c.page(root, "GET", "/audit?action=user.create", nil)
	c.ok("the first page", first, 200, "user-ch", "Next page")
	if strings.Contains(first.body, "user-aa") || strings.Contains(first.body, "First page") {
		t.Error("the first page has the oldest entry, or a link to itself")
	}
	_, query, _ := strings.Cut(first.body, `<a class="btn small" href="?`)
	query, _, _ = strings.Cut(query, `"`)
	second := c.page(root, "GET", "/audit?"+strings.ReplaceAll(query, "&amp;", "&"), nil)
	c.ok("the second page", second, 200, "user-aa", "First page", `action=user.create"`)
	if strings.Contains(second.body, "user-ch") || strings.Contains(second.body, "Next page") {
		t.Error("the second page has the newest entry, or a next page")
	}
}
