package server_test

import (
	"strings"
	"testing"
)

// TestOverviewPage: the overview says what to do without keys, and otherwise has the counts
// by state, which lead to the list, the requests of each day, and the latest denials.
func TestOverviewPage(t *testing.T) {
	c := startConsoleWith(t, "usage: {file: DIR/usage.jsonl}\n")
	c.must("POST", "/users", `{"name": "alice"}`)
	c.must("POST", "/users", `{"name": "reader", "scopes": ["keyward:read"]}`)
	c.must("POST", "/users", `{"name": "keys", "scopes": ["keyward:keys"]}`)
	root, reader := c.login("root"), c.login("reader")
	c.ok("before a denial", c.page(reader, "GET", "/overview", nil), 200, "has denied no request lately", "No key expires within 14 days")
	c.ok("without the role", c.page(c.login("keys"), "GET", "/overview", nil), 403)

	id, secret := c.newKey(root, "/keys", "nightly", "user", "alice")
	for range 3 {
		c.accepted("the key", secret, 200)
	}
	c.must("POST", "/keys/"+id+"/rotate", `{"grace": "1h"}`)
	c.ok("one that rotates", c.page(reader, "GET", "/keys?state=rotating", nil), 200, "nightly", "old secret until")
	c.ok("its count", c.page(root, "GET", "/overview", nil), 200, `aria-label="1 Rotating"`, "New key")
	c.must("PATCH", "/keys/"+id, `{"paths": ["/only"], "expires": "5d"}`)
	c.accepted("elsewhere", secret, 403)
	c.ask("/<script>alert(1)</script>", "kw_not-a-key")
	shown := c.page(reader, "GET", "/overview", nil)
	c.ok("the page", shown, 200, " · 1 denied</p>", `<rect`, "Show as a table",
		`href="/keys?state=expiring"`, "nightly", "acts as alice", "path_not_allowed", "Each key in force was used within 90 days", `href="/decisions?id=`)
	if strings.Contains(shown.body, "New key") || strings.Contains(shown.body, "<script>alert") || strings.Contains(shown.body, "not-a-key") {
		t.Errorf("it offers what a reader may not do, or has a credential: %s", shown.main())
	}
	for _, state := range []string{"active", "expiring", "rotating", "paused", "expired", "revoked"} {
		c.ok(state, c.page(reader, "GET", "/keys?state="+state, nil), 200)
	}
}
