package server_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"keyward/internal/race"
)

// importKeys sends lines as the body of an import.
func (c *console) importKeys(key, lines string, header ...string) response {
	c.t.Helper()
	return c.call(key, "POST", "/keys/import", lines, append(header, "Content-Type", "application/x-ndjson")...)
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestImportThroughAPI: the keys of another system are valid under their own secrets, each
// with an entry.
func TestImportThroughAPI(t *testing.T) {
	c := startConsole(t)
	const secret, hashed = "other-system-4711", "other-system-4712"
	got := c.importKeys(c.admin, `{"key": "`+secret+`", "name": "old", "scopes": ["read"], "paths": ["/a"]}`+"\n\n"+
		`{"hash": "sha256:`+sha256Hex(hashed)+`", "user": "root", "expires": "90d", "cidrs": ["192.0.2.0/24"]}`+"\r\n")
	ids, _ := got.body["ids"].([]any)
	if got.status != http.StatusCreated || len(ids) != 2 || got.body["seq"] == nil {
		t.Fatalf("%d %v", got.status, got.body)
	}
	for i, s := range []string{secret, hashed} {
		found := c.must("POST", "/keys/verify", `{"key": "`+s+`"}`).body
		if found["id"] != ids[i] || found["created_by"] != "root" {
			t.Errorf("key %d: %v", i, found)
		}
	}
	first := c.must("GET", "/keys/"+ids[0].(string), "").body
	if fmt.Sprint(first["name"], first["scopes"], first["paths"]) != "old[read] [/a]" {
		t.Errorf("%v", first)
	}
	for _, id := range ids {
		entries := c.must("GET", "/audit?action=key.import&target="+id.(string), "").body["items"].([]any)
		if len(entries) != 1 || entries[0].(map[string]any)["actor"] != "root" {
			t.Errorf("the entries of %s: %v", id, entries)
		}
	}
}

// TestImportRefused: one line that is wrong refuses all, and the problem has its number
// and nothing of it.
func TestImportRefused(t *testing.T) {
	c := startConsole(t)
	c.importKeys(c.admin, `{"key": "known-already"}`)
	c.must("POST", "/users", `{"name": "ops", "scopes": ["keyward:keys", "keyward:read"]}`)
	ops := c.must("POST", "/keys", `{"name": "ops", "user": "ops", "scopes": ["keyward:keys", "keyward:read"]}`).body["key"].(string)
	const good = `{"key": "good-4711"}` + "\n"
	for _, test := range []struct {
		what, key, lines string
		status           int
		says             string
	}{
		{"of a caller without keyward:admin", ops, good, 403, "forbidden"},
		{"not JSON", c.admin, good + "secret-4711", 400, "line 2 "},
		{"a member twice", c.admin, good + `{"key": "secret-4711", "user": "a", "user": "root"}`, 400, "line 2 "},
		{"two objects in a line", c.admin, good + `{"key": "secret-4711"} {"key": "secret-4712"}`, 400, "line 2 "},
		{"an array", c.admin, `[{"key": "secret-4711"}]`, 400, "line 1 "},
		{"nothing", c.admin, "\n", 422, "no keys"},
		{"an unknown member", c.admin, good + `{"key": "secret-4711", "id": "k_000000000000"}`, 422, "/line/2/id"},
		{"a member in another case", c.admin, good + `{"key": "secret-4711", "User": "root"}`, 422, "/line/2/User"},
		{"another type", c.admin, good + `{"key": "secret-4711", "name": 4711}`, 422, "/line/2/name"},
		{"null", c.admin, good + `{"key": null}`, 422, "/line/2"},
		{"neither key nor hash", c.admin, good + `{"name": "secret-4711"}`, 422, "/line/2"},
		{"key and hash", c.admin, good + `{"key": "secret-4711", "hash": "sha256:` + sha256Hex("x") + `"}`, 422, "/line/2"},
		{"a hash of another kind", c.admin, good + `{"hash": "md5:secret-4711"}`, 422, "/line/2"},
		{"a key that no request can carry", c.admin, good + `{"key": "secret 4711"}`, 422, "/line/2"},
		{"a path", c.admin, good + "\n" + `{"key": "secret-4711", "paths": ["/a", "/secret-4711/.."]}`, 422, "/line/3/paths/1"},
		{"a scope", c.admin, good + `{"key": "x-4711", "scopes": ["secret-4711 x"]}`, 422, "/line/2/scopes/0"},
		{"a managing scope without a user", c.admin, good + `{"key": "x-4711", "scopes": ["keyward:admin"]}`, 422, "/line/2/scopes"},
		{"a network", c.admin, good + `{"key": "x-4711", "cidrs": ["secret-4711"]}`, 422, "/line/2/cidrs"},
		{"a rate", c.admin, good + `{"key": "x-4711", "rate": "secret-4711"}`, 422, "/line/2/rate"},
		{"an end in the past", c.admin, good + `{"key": "x-4711", "expires": "2001-01-01T00:00:00Z"}`, 422, "/line/2/expires"},
		{"a name that cannot be one", c.admin, good + `{"key": "x-4711", "name": "a\u0000b"}`, 422, "/line/2"},
		{"a long line", c.admin, good + `{"key": "x-4711", "paths": ["/` + strings.Repeat("x", 64<<10) + `"]}`, 422, "/line/2"},
		{"a key twice", c.admin, good + "\n" + good, 409, "line 3 has the key of line 1 again"},
		{"a key that is there", c.admin, good + `{"key": "known-already"}`, 409, "line 2 "},
		{"a long body", c.admin, strings.Repeat("\n", 16<<20) + good, 413, "too_large"},
		{"many lines", c.admin, strings.Repeat(`{"key": "x"}`+"\n", 50_001), 413, "too_large"},
	} {
		got := c.importKeys(test.key, test.lines)
		said := fmt.Sprint(got.body)
		if got.status != test.status || !strings.Contains(said, test.says) || strings.Contains(said, "secret-4711") {
			t.Errorf("%s: %d %.1000s, want %d %s", test.what, got.status, said, test.status, test.says)
		}
	}
	if got := c.must("GET", "/keys?limit=100", "").body["items"].([]any); len(got) != 3 {
		t.Errorf("%d keys", len(got))
	}
}

// TestImportBodies: the body of an import is read if its caller may import, and none
// while another is being served.
func TestImportBodies(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "ops", "scopes": ["keyward:keys"]}`)
	ops := c.must("POST", "/keys", `{"name": "ops", "user": "ops", "scopes": ["keyward:keys"]}`).body["key"].(string)
	for _, test := range []struct{ what, key, status string }{
		{"not permitted", ops, "403"}, {"the first", c.admin, "100"}, {"the second", c.admin, "503"},
	} {
		conn := c.withoutBody(test.key, "/keys/import", "application/x-ndjson", 1000)
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " "+test.status+" ") {
			t.Errorf("%s: %q, %v, want %s", test.what, line, err, test.status)
		}
	}
	entries := c.must("GET", "/audit?actor=ops", "").body["items"].([]any)
	if len(entries) != 1 || entries[0].(map[string]any)["action"] != "key.import" || entries[0].(map[string]any)["outcome"] != "refused" {
		t.Errorf("%v", entries)
	}
}

// TestImportSentAgain: an import with an Idempotency-Key is carried out once.
func TestImportSentAgain(t *testing.T) {
	c := startConsole(t)
	const lines = `{"key": "other-system-4711"}` + "\n" + `{"key": "other-system-4712"}`
	first := c.importKeys(c.admin, lines, "Idempotency-Key", "one")
	second := c.importKeys(c.admin, lines, "Idempotency-Key", "one")
	if first.status != 201 || second.status != 201 || fmt.Sprint(first.body) != fmt.Sprint(second.body) {
		t.Errorf("%d %v, then %d %v", first.status, first.body, second.status, second.body)
	}
	if got := c.importKeys(c.admin, lines+"\n", "Idempotency-Key", "one"); got.status != 422 {
		t.Errorf("another body: %d %v", got.status, got.body)
	}
}

// TestImportOfManyKeys: the most that one import may have.
func TestImportOfManyKeys(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 50,000 keys")
	}
	count := 50_000
	switch {
	case inPostgres: // what takes longer than the wait until it is in force is answered so
		count = 5_000
	case race.Detector: // they take ten times as long, which is more than an import may
		count = 10_000
	}
	c := startConsole(t)
	var lines strings.Builder
	for i := range count {
		fmt.Fprintf(&lines, `{"key": "other-system-%d", "name": "n%d", "user": "root", "description": "%s"}`+"\n", i, i, strings.Repeat("x", 200))
	}
	got := c.importKeys(c.admin, lines.String(), "Idempotency-Key", "many")
	ids, _ := got.body["ids"].([]any)
	if got.status != 201 || len(ids) != count {
		t.Fatalf("%d %d ids %.300v", got.status, len(ids), got.body["detail"])
	}
	if again := c.importKeys(c.admin, lines.String(), "Idempotency-Key", "many"); again.status != 201 {
		t.Errorf("again: %d %v", again.status, again.body["detail"])
	}
}
