package server_test

import (
	"strings"
	"testing"
)

// TestSettingsPage: the configuration in force is shown to those who may read everything,
// without its secrets.
func TestSettingsPage(t *testing.T) {
	c := startConsoleWith(t, "# the password: hunter2-hunter2 </code><script>\nrate_limits: {store: \"redis://default:hunter2@127.0.0.1:1/0\", on_store_failure: local}\n")
	c.must("POST", "/users", `{"name": "reader", "scopes": ["keyward:read"]}`)
	c.must("POST", "/users", `{"name": "keys", "scopes": ["keyward:keys"]}`)
	shown := c.page(c.login("reader"), "GET", "/settings", nil)
	c.ok("the page", shown, 200, "keyward.yaml", "redis://…@127.0.0.1:1/0", "Since", "&lt;/code&gt;&lt;script&gt;")
	if strings.Contains(shown.body, "hunter2") {
		t.Error("the page has a password")
	}
	c.ok("without the role", c.page(c.login("keys"), "GET", "/settings", nil), 403)
}
