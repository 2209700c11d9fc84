package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// startSidecars starts Keyward and Envoy with the arguments and files of the
// containers in deploy/kubernetes/overlays/sidecar, as kubectl renders them.
// Only paths and ports are this machine's. It returns the port of Envoy for the
// kubelet and Prometheus.
func startSidecars(t *testing.T, s *system, p *pod) (probed int) {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	probed = freePort(t)
	args := p.containers["keyward"].Args
	if len(args) != 3 || !slices.Equal(args[:2], []string{"serve", "--config"}) {
		t.Fatalf("Keyward's arguments are %q", args)
	}
	keyward := p.file("keyward", args[2], func(text string) string {
		return s.replaced(text, `":9193"`, fmt.Sprintf("%q", stack.Address(ports.Admin)))
	})
	envoy := p.containers["envoy"]
	if !slices.Equal(envoy.Command, []string{"envoy"}) {
		t.Fatalf("Envoy's command is %q", envoy.Command)
	}
	proxy := stack.EnvoyArgs{Binary: programs.envoy}
	for i, arg := range envoy.Args {
		if i > 0 && envoy.Args[i-1] == "--config-path" {
			arg = p.file("envoy", arg, func(text string) string {
				for shipped, port := range map[int]int{10000: ports.Envoy, 9901: ports.EnvoyAdmin, 9902: probed, 8000: ports.Upstream} {
					text = s.replaced(text, fmt.Sprint("port_value: ", shipped), fmt.Sprint("port_value: ", port))
				}
				return text
			})
		}
		proxy.Args = append(proxy.Args, arg)
	}
	s.Stack, err = stack.Start(t.Context(), stack.Config{
		Dir: s.dir, Keyward: programs.keyward, KeywardConfig: keyward, Proxy: proxy, Ports: ports, Observe: s.observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Keyward.Kill()
		s.Stop()
	})
	return probed
}

// TestSidecars: the containers that the sidecar overlay adds to a pod start and
// answer, Envoy and Keyward on a unix socket that both mount.
func TestSidecars(t *testing.T) {
	s := newSystem(t, options{})
	p := podOf(t, render(t, "sidecar"))
	secret := p.mounted("keyward", "/run/secrets/keyward")
	pepper := writeFile(t, secret, "pepper", strings.Repeat("p", 48))
	file := filepath.Join(secret, "keys.jsonl")
	key := s.keyward("key", "create", "--name", "k", "--user", "alice", "--scope", "items:read", "--file", file, "--pepper-file", pepper)
	unknown := s.keyward("key", "create", "--name", "unknown", "--file", "elsewhere.jsonl")
	probed := startSidecars(t, s, p)

	for _, c := range []struct {
		method, target, credential string
		status                     int
		reason                     string
	}{
		{"GET", "/api/items", key, 200, ""},
		{"GET", "/api/items", "", 401, "no_credential"},
		{"GET", "/api/items", unknown, 401, "unknown_key"},
		{"POST", "/api/items", key, 403, "insufficient_scope"},
		{"GET", "/api/public/news", "", 200, ""},
		{"GET", "/readyz", "", 200, ""}, // the API's, through Envoy
		{"GET", "/elsewhere", "", 401, "no_credential"},
	} {
		var lines []string
		if c.credential != "" {
			lines = append(lines, bearer(c.credential))
		}
		if a := s.request(c.method, c.target, lines...); a.status != c.status || a.reason() != c.reason {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.target, a.status, a.reason(), c.status, c.reason)
		}
	}
	if got := s.get("/api/items", bearer(key)).received(t); !slices.Equal(got.Headers["x-auth-subject"], []string{"alice"}) || got.Headers["authorization"] != nil {
		t.Errorf("the API got %v", got.Headers)
	}
	if a := s.get("/v1/auth/verify", bearer(key)); a.status != 200 || !strings.Contains(a.body, `"authenticated":true`) {
		t.Errorf("verify: %d %s", a.status, a.body)
	}
	for path, want := range map[string]int{"/ready": 200, "/stats/prometheus": 200, "/quitquitquit": 404, "/config_dump": 404} {
		if status, _ := adminAt(t, "GET", probed, path); status != want {
			t.Errorf("%s, for the kubelet and Prometheus: %d, want %d", path, status, want)
		}
	}
	if _, err := os.Stat(filepath.Join(p.mounted("envoy", "/run/keyward"), "grpc.sock")); err != nil {
		t.Error(err)
	}
	s.Keyward.Kill()
	if a := s.get("/api/items", bearer(key)); a.status != 503 {
		t.Errorf("without Keyward: %d", a.status)
	}
}
