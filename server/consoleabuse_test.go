package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const slowBody = `{"name": "late", "scopes": ["read"]}`

// unfinished sends a request for a key without its body, and returns the connection.
func (c *console) unfinished(key string) net.Conn {
	c.t.Helper()
	return c.withoutBody(key, "/me/keys", "application/json", len(slowBody))
}

// withoutBody sends a request up to its body.
func (c *console) withoutBody(key, path, mediaType string, length int) net.Conn {
	c.t.Helper()
	conn, err := net.Dial("unix", c.path("console.sock"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /api/v1%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", path, key, mediaType, length)
	if err != nil {
		c.t.Fatal(err)
	}
	return conn
}

// TestEndedWhileBodyArrives: a key that ended after its request had begun makes no more
// changes.
func TestEndedWhileBodyArrives(t *testing.T) {
	for _, test := range []struct {
		end    func(c *console, id string)
		status int
	}{
		{func(*console, string) {}, 201},
		{func(c *console, id string) { c.must("POST", "/keys/"+id+"/revoke", "") }, 401},
		{func(c *console, id string) { c.must("DELETE", "/keys/"+id, "") }, 401},
		{func(c *console, _ string) { c.must("PATCH", "/users/alice", `{"disabled": true}`) }, 401},
		{func(c *console, _ string) { c.must("PATCH", "/users/alice", `{"scopes": ["read"]}`) }, 403},
		{func(c *console, _ string) { c.must("DELETE", "/users/alice", "") }, 401},
	} {
		c := startConsole(t)
		c.must("POST", "/users", `{"name": "alice", "scopes": ["read", "keyward:keys"]}`)
		made := c.must("POST", "/keys", `{"name": "x", "user": "alice", "scopes": ["read", "keyward:keys"]}`).body
		conn := c.unfinished(made["key"].(string))
		in := bufio.NewReader(conn)
		// The server says so once it reads the body: the key was verified.
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
			t.Fatalf("%q, %v", line, err)
		}
		_, _ = in.ReadString('\n')
		test.end(c, made["id"].(string))
		if _, err := io.WriteString(conn, slowBody); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil || answer.StatusCode != test.status {
			t.Errorf("%v, %v, want %d", answer, err, test.status)
		}
		if n := len(c.must("GET", "/keys?q=late", "").body["items"].([]any)); n == 1 != (test.status == 201) {
			t.Errorf("%d keys were made, want %d", n, test.status)
		}
	}
}

// TestCallerShare: a caller that sends its bodies slowly does not keep out the others.
func TestCallerShare(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice"}`)
	slow := c.must("POST", "/keys", `{"name": "x", "user": "alice"}`).body["key"].(string)
	second := c.must("POST", "/keys", `{"name": "y", "user": "alice"}`).body["key"].(string)
	for range 16 {
		conn := c.unfinished(slow)
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
			t.Fatalf("%q, %v", line, err)
		}
	}
	for _, key := range []string{slow, second} {
		if got := c.call(key, "GET", "/me", ""); got.status != 503 || got.header.Get("Retry-After") == "" || got.body["title"] != "Overloaded" {
			t.Errorf("one more of the caller: %d %v", got.status, got.body)
		}
	}
	c.must("GET", "/me", "")
}

// TestOverload: the document, which needs no credential, takes none of the places of
// requests, and is served while none is free.
func TestOverload(t *testing.T) {
	c := startConsole(t)
	for i := range 4 {
		c.must("POST", "/users", fmt.Sprintf(`{"name": "user%d"}`, i))
		key := c.must("POST", "/keys", fmt.Sprintf(`{"name": "x", "user": "user%d"}`, i)).body["key"].(string)
		for range 16 {
			conn := c.unfinished(key)
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
				t.Fatalf("%q, %v", line, err)
			}
		}
	}
	if got := c.call(c.admin, "GET", "/me", ""); got.status != 503 || got.body["title"] != "Overloaded" {
		t.Errorf("the 65th request: %d %v", got.status, got.body)
	}
	answer, err := c.client.Get("http://127.0.0.1/api/openapi.json")
	if err != nil || answer.StatusCode != 200 {
		t.Errorf("the document: %v, %v", answer, err)
	}
	if err == nil {
		_ = answer.Body.Close()
	}
}

// TestAmbiguousRequests: what is there twice, or cannot be read, is refused: another
// program could have read it differently.
func TestAmbiguousRequests(t *testing.T) {
	c := startConsole(t)
	for _, test := range []struct {
		path   string
		status int
	}{{"/keys?user=a&user=b", 422}, {"/keys?user=a&%75ser=b", 422}, {"/keys?user=a&%zz", 400}, {"/keys?user=a;limit=1", 400}, {"/keys?user=a", 200}} {
		if got := c.call(c.admin, "GET", test.path, ""); got.status != test.status {
			t.Errorf("%s: %d %v", test.path, got.status, got.body)
		}
	}
	for _, name := range []string{"Idempotency-Key", "If-Match"} {
		if got := c.call(c.admin, "POST", "/keys", `{"name": "x"}`, name, "a", name, "b"); got.status != 422 {
			t.Errorf("%s twice: %d", name, got.status)
		}
	}
}

// TestUserNamesInPaths: the API creates no user that it could not disable.
func TestUserNamesInPaths(t *testing.T) {
	c := startConsole(t)
	for name, status := range map[string]int{
		"alice": 201, "a@example.com": 201, "ä ö": 201, "a,b": 201, "a+b": 201, "A": 201, "me": 201,
		"a/b": 422, "..": 422, ".": 422, "%2f": 422, "a;b": 422, `a\\b`: 422, "a?b": 422, "a#b": 422,
	} {
		got := c.call(c.admin, "POST", "/users", `{"name": "`+name+`"}`)
		if got.status != status {
			t.Errorf("%q: %d %v", name, got.status, got.body)
		}
		if status == 201 {
			c.must("PATCH", "/users/"+url.PathEscape(name), `{"disabled": true}`)
			c.must("DELETE", "/users/"+url.PathEscape(name), "")
		}
	}
}

// TestLargeBulk: as many keys are revoked at once as the documentation says.
func TestLargeBulk(t *testing.T) {
	c := startConsole(t)
	id := c.must("POST", "/keys", `{"name": "x"}`).body["id"].(string)
	ids := []string{`"` + id + `"`}
	for i := range 9_999 {
		ids = append(ids, fmt.Sprintf(`"k_%012d"`, i))
	}
	got := c.must("POST", "/keys/revoke", `{"ids": [`+strings.Join(ids, ", ")+`]}`).body
	if revoked := got["revoked"].([]any); len(revoked) != 1 || revoked[0] != id || len(got["unknown"].([]any)) != 9_999 {
		t.Errorf("revoked %v", revoked)
	}
	if got := c.call(c.admin, "POST", "/keys/revoke", `{"ids": [`+strings.Join(ids, ", ")+`, "k_x"]}`); got.status != 422 {
		t.Errorf("one more: %d", got.status)
	}
}
