package server_test

import (
	"database/sql"
	"fmt"
	"testing"

	_ "modernc.org/sqlite" // the driver
)

// interrupt makes every request with an Idempotency-Key one whose process died before
// it kept the answer.
func (c *console) interrupt() {
	c.t.Helper()
	if c.db != nil {
		if _, err := c.db.Pool.Exec(c.t.Context(), `UPDATE state_idempotency SET answer = NULL, size = 0, started = 0, attempt = 0`); err != nil {
			c.t.Fatal(err)
		}
		return
	}
	db, err := sql.Open("sqlite", c.path("keyward.db"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(`UPDATE idempotency SET answer = NULL, size = 0, owner = 0, attempt = 0`); err != nil {
		c.t.Fatal(err)
	}
}

// TestInterruptedRequests: a request that was carried out, and whose answer was lost
// with the process, is not carried out again, and is answered as the first time, but
// without the secret.
func TestInterruptedRequests(t *testing.T) {
	c := startConsole(t)
	made := c.must("POST", "/keys", `{"name": "x"}`).body
	id, etag := made["id"].(string), made["etag"].(string)
	other := c.must("POST", "/keys", `{"name": "y"}`).body["id"].(string)
	for i, test := range []struct {
		path, body, action string
		header             []string
	}{
		{"/keys", `{"name": "z"}`, "key.create", nil},
		{"/users", `{"name": "alice"}`, "user.create", nil},
		{"/keys/" + id + "/rotate", `{"grace": "1h"}`, "key.rotate", []string{"If-Match", etag}},
		{"/keys/" + id + "/revoke", "", "key.revoke", nil},
		{"/keys/revoke", fmt.Sprintf(`{"ids": [%q, "k_000000000000"]}`, other), "key.revoke", nil},
	} {
		header := append([]string{"Idempotency-Key", fmt.Sprint("name ", i)}, test.header...)
		entries := func() int {
			return len(c.must("GET", "/audit?limit=1000&action="+test.action, "").body["items"].([]any))
		}
		first := c.call(c.admin, "POST", test.path, test.body, header...)
		n := entries()
		c.interrupt()
		second := c.call(c.admin, "POST", test.path, test.body, header...)
		if first.status/100 != 2 || second.status != first.status || entries() != n {
			t.Errorf("%s: %d, then %d %v; %d entries, then %d", test.path, first.status, second.status, second.body, n, entries())
		}
		if first.body["key"] != nil {
			delete(first.body, "key")
			first.body["secret_shown"] = false
		}
		if fmt.Sprint(second.body) != fmt.Sprint(first.body) {
			t.Errorf("%s:\n%v, then\n%v", test.path, first.body, second.body)
		}
	}
}
