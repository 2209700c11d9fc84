package server_test

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver

	"keyward/internal/eventually"
	"keyward/internal/postgrestest"
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
	c.must("POST", "/users", `{"name": "bob"}`)
	c.must("POST", "/keys", `{"name": "of bob", "user": "bob"}`)
	c.must("POST", "/keys/"+c.must("POST", "/keys", `{"name": "ended", "user": "bob"}`).body["id"].(string)+"/revoke", "")
	for i, test := range []struct {
		path, body, action string
		header             []string
	}{
		{"/keys", `{"name": "z"}`, "key.create", nil},
		{"/users", `{"name": "alice"}`, "user.create", nil},
		{"/keys/" + id + "/rotate", `{"grace": "1h"}`, "key.rotate", []string{"If-Match", etag}},
		{"/keys/" + id + "/revoke", "", "key.revoke", nil},
		{"/keys/revoke", fmt.Sprintf(`{"ids": [%q, "k_000000000000"]}`, other), "key.revoke", nil},
		{"/keys/revoke", `{"user": "bob"}`, "user.end", nil},
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

// TestRefusedWhenResumed: a request that was carried out, and is refused when it is sent
// again without its answer, is not forgotten: sent by a caller who may, it is answered
// and not carried out again.
func TestRefusedWhenResumed(t *testing.T) {
	c := startConsole(t)
	lesser := c.must("POST", "/keys", `{"name": "lesser", "user": "root", "scopes": []}`).body["key"].(string)
	send := func(key string) response {
		return c.call(key, "POST", "/keys", `{"name": "made"}`, "Idempotency-Key", "one")
	}
	first := send(c.admin)
	c.interrupt()
	if got := send(lesser); got.status != 403 {
		t.Errorf("a caller who may not: %d %v", got.status, got.body)
	}
	if got := send(c.admin); got.status != 201 || got.body["id"] != first.body["id"] || got.body["secret_shown"] != false {
		t.Errorf("%d %v, then %d %v", first.status, first.body, got.status, got.body)
	}
	if n := len(c.must("GET", "/keys?q=made", "").body["items"].([]any)); n != 1 {
		t.Errorf("%d keys were made", n)
	}
}

// TestOvertakenAttempts: two attempts of a request are under way, since the first has
// outlived its lease. One makes the change, and the other answers with what was made.
func TestOvertakenAttempts(t *testing.T) {
	if !inPostgres {
		t.Skip("in a file an attempt is not taken over while its process runs")
	}
	c := startConsole(t)
	other := &console{admin: c.admin}
	other.openIn(t, &backend{dir: socketDir(t), config: c.config, db: c.db, url: c.url}, consoleConfig, func(*running) {})
	rotated := c.must("POST", "/keys", `{"name": "x"}`).body["id"].(string)
	for i, test := range []struct{ path, body, action string }{
		{"/keys", `{"name": "made"}`, "key.create"},
		{"/users", `{"name": "made"}`, "user.create"},
		{"/projects", `{"name": "made"}`, "project.create"},
		{"/keys/" + rotated + "/rotate", "", "key.rotate"},
	} {
		entries := func() int {
			return len(c.must("GET", "/audit?limit=1000&action="+test.action, "").body["items"].([]any))
		}
		send := func(c *console) response {
			return c.call(c.admin, "POST", test.path, test.body, "Idempotency-Key", fmt.Sprint("name ", i))
		}
		before := entries()
		lock := postgrestest.Connect(t, c.config)
		execute(t, lock, `BEGIN`)
		execute(t, lock, `SELECT FROM meta FOR UPDATE`) // no writer commits
		answers := make(chan response, 2)
		for i, on := range []*console{c, other} {
			go func() { answers <- send(on) }()
			eventually.Succeeds(t, func() error {
				var n int
				err := lock.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity, pg_stat_clear_snapshot() WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
				if err == nil && n <= i {
					err = fmt.Errorf("%d attempts wait, want %d", n, i+1)
				}
				return err
			})
			postgrestest.Exec(t, c.config, `UPDATE state_idempotency SET started = 0 WHERE answer IS NULL`)
		}
		execute(t, lock, `COMMIT`)
		answered := []response{<-answers, <-answers, send(c)}
		for _, got := range answered {
			if got.status/100 != 2 || got.body["etag"] != answered[0].body["etag"] {
				t.Errorf("%s: %d %v", test.path, got.status, got.body)
			}
		}
		if n := entries() - before; n != 1 {
			t.Errorf("%s was carried out %d times", test.path, n)
		}
	}
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
