package e2e

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// TestManyHeaderLines verifies what docs/proxies.md says about more header
// lines than Envoy accepts, with those that Keyward adds. Such a request is not
// forwarded.
func TestManyHeaderLines(t *testing.T) {
	s := newSystem(t, options{config: routesConfig})
	key := s.key("--name", "k", "--user", "alice", "--scope", "a")
	s.start()
	statuses := ""
	for n := 60; n <= 110; n++ {
		lines := []string{bearer(key)}
		for i := len(lines); i < n; i++ {
			lines = append(lines, fmt.Sprintf("x-line-%d: y", i))
		}
		before := s.arrived()
		a := s.get("/any", lines...)
		statuses += fmt.Sprintf("%d ", a.status)
		if passed := s.arrived() > before; passed != (a.status == 200) {
			t.Errorf("%d lines: status %d, and reached the upstream: %v", n, a.status, passed)
		}
	}
	if !regexp.MustCompile(`^(200 ){25,}(500 ){5,}(431 ){5,}$`).MatchString(statuses) {
		t.Errorf("with one line more each: %s", statuses)
	}
	response, err := http.Get("http://" + stack.Address(s.Ports().EnvoyAdmin) + "/stats?filter=ext_authz.keyward.request_header_limits_reached")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stats, err := io.ReadAll(response.Body)
	if want := fmt.Sprintf("request_header_limits_reached: %d\n", strings.Count(statuses, "500")); err != nil || !strings.HasSuffix(string(stats), want) {
		t.Errorf("Envoy counts %q (%v), want %q", stats, err, want)
	}
}
