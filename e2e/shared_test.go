package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// member is one of several Keywards behind a proxy.
type member struct {
	*stack.Process
	name string
	cfg  stack.Config
}

// start also restarts it at the same address.
func (m *member) start(t *testing.T) {
	t.Helper()
	p, err := stack.StartKeyward(t.Context(), m.name, m.cfg)
	if p != nil {
		m.Process = p
	}
	if err != nil {
		t.Fatal(err)
	}
}

// timeouts are Envoy's timeouts for a response: for each try, and for all
// tries. The shipped values are sometimes a tenth of a second too short for a
// busy machine.
type timeouts struct{ each, all string }

// sharedEnvoy configures Envoy as in the overlay for a shared Keyward, with a
// Keyward at this port in addition to the system's.
func sharedEnvoy(times timeouts, port int) func(*testing.T, *stack.EnvoyConfig) {
	return func(t *testing.T, c *stack.EnvoyConfig) {
		shared, err := stack.LoadEnvoyConfig(filepath.Join(programs.root, "deploy", "kubernetes", "overlays", "shared", "envoy.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		service := authzFilter(shared)["grpc_service"].(object)
		service["timeout"] = times.all
		service["retry_policy"].(object)["retry_back_off"].(object)["max_interval"] = times.each
		authzFilter(c)["grpc_service"] = service
		var all []any
		for _, port := range []int{stack.Shipped.GRPC, port} {
			all = append(all, object{"endpoint": object{"address": object{
				"socket_address": object{"address": "127.0.0.1", "port_value": port},
			}}})
		}
		cluster := c.Find("keyward")
		clear(cluster)
		maps.Copy(cluster, shared.Find("keyward"))
		cluster["load_assignment"].(object)["endpoints"].([]any)[0].(object)["lb_endpoints"] = all
	}
}

// envoyCount returns a counter of Envoy, by its full name.
func (s *system) envoyCount(name string) int {
	s.t.Helper()
	_, text := adminAt(s.t, http.MethodGet, s.Ports().EnvoyAdmin, "/stats?filter=^"+strings.ReplaceAll(name, ".", "%5C.")+"$")
	value, found := strings.CutPrefix(strings.TrimSpace(text), name+": ")
	n, err := strconv.Atoi(value)
	if !found || err != nil {
		s.t.Fatalf("Envoy's %s is %q", name, text)
	}
	return n
}

// untilHealthy waits until Envoy considers the Keyward at the port healthy.
func (s *system) untilHealthy(port int) {
	s.t.Helper()
	want := fmt.Sprintf("keyward::%s::health_flags::healthy\n", stack.Address(port))
	s.until("healthy, says Envoy", func() (answer, bool) {
		status, text := adminAt(s.t, http.MethodGet, s.Ports().EnvoyAdmin, "/clusters")
		return answer{status: status}, strings.Contains(text, want)
	})
}
