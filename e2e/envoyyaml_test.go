package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// warningLine is a line of Envoy's log that an operator would have to
// investigate.
var warningLine = regexp.MustCompile(`(?m)^.*(?:\[(?:warning|error|critical)\]|[Dd]eprecat).*$`)

func TestEnvoyLoadsTheShippedFileWithoutComplaint(t *testing.T) {
	need(t, "Envoy")
	file := filepath.Join(programs.root, "envoy.yaml")
	out, err := exec.CommandContext(t.Context(), programs.envoy, "--mode", "validate", "-c", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "OK") {
		t.Fatalf("%v\n%s", err, out)
	}
	if lines := warningLine.FindAllString(string(out), -1); len(lines) > 0 {
		t.Errorf("when it reads the file:\n%s", strings.Join(lines, "\n"))
	}
	s := startSystem(t, options{shippedTimeout: true})
	s.until("asked", func() (answer, bool) { a := s.get("/"); return a, a.status == 401 })
	if lines := warningLine.FindAllString(s.Proxy.Log(), -1); len(lines) > 0 {
		t.Errorf("when it runs:\n%s", strings.Join(lines, "\n"))
	}
}

// TestAccessLog: the log says which requests were allowed and why others were
// denied, and shows no query.
func TestAccessLog(t *testing.T) {
	s := newSystem(t, options{config: routesConfig})
	key := s.key("--name", "k")
	s.start()
	id := s.get("/ok?api_key="+key, "X-Request-Id: mine").received(t).Headers["x-auth-key-id"][0]
	denied := s.get("/denied?q=1")
	s.get("/closed", bearer(key))
	s.Stop() // flushes the log

	log := s.Proxy.Log()
	for _, want := range []string{
		`"key_id":"` + id + `".*"path":"/ok","reason":"ok".*"status":200`,
		`"decision_id":"` + denied.header.Get("X-Keyward-Decision-Id") + `".*"path":"/denied","reason":"no_credential".*"status":401`,
		`"path":"/closed","reason":"route_denied".*"status":403`,
	} {
		if !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("no line like %s in\n%s", want, log)
		}
	}
	if strings.Contains(log, key) || strings.Contains(log, "q=1") {
		t.Error("a query is in the log")
	}
	// A client that could choose it could make two requests look like one.
	if strings.Contains(log, "mine") {
		t.Error("a client's own x-request-id is used")
	}
}

// TestBothLogsNameARequestAlike: Envoy's log, the client and Keyward's log use
// the same id for a request.
func TestBothLogsNameARequestAlike(t *testing.T) {
	s := startSystem(t, options{config: routesConfig})
	id := s.get("/denied").header.Get("X-Request-Id")
	if id == "" || !strings.Contains(s.decisionLog(), `"request_id":"`+id+`"`) {
		t.Errorf("the client has the request id %q, Keyward's log does not", id)
	}
}
