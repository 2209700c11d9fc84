package e2e

import (
	"strconv"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// sendBody makes Envoy send the body with a check.
func sendBody(_ *testing.T, c *stack.EnvoyConfig) {
	authzFilter(c)["with_request_body"] = object{"max_request_bytes": 40 << 20, "pack_as_bytes": true}
}

// TestRequestBody: a check with a body of megabytes is decided, and one that is
// too large is refused for that reason. The log identifies the request.
func TestRequestBody(t *testing.T) {
	need(t, "Envoy")
	s := newSystem(t, options{envoy: sendBody})
	key := s.key("--name", "k")
	s.start()
	post := func(path string, megabytes int) answer {
		body := strings.Repeat("x", megabytes<<20)
		a, err := s.send("POST", "POST "+path+" HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"+bearer(key)+
			"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := post("/five", 5); a.status != 200 {
		t.Errorf("5 MiB: %d %s", a.status, a.body)
	}
	if a := post("/twenty", 20); a.status != 503 || a.reason() != "request_too_large" {
		t.Errorf("20 MiB: %d %s", a.status, a.body)
	}
	if a := post("/thirty-six", 36); a.status != 503 {
		t.Errorf("36 MiB: %d %s", a.status, a.body)
	}
	log := fullLog(s.Keyward)
	for _, want := range []string{
		`"reason":"request_too_large","status":503,"transport":"grpc","method":"POST","host":"api.example.com","path":"/twenty"`,
		"larger than max (377",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s", want)
		}
	}
	if a := s.get("/small", bearer(key)); a.status != 200 {
		t.Errorf("after that: %d %s", a.status, a.body)
	}
}
