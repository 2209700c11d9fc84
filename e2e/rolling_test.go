package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// shutdownScenario is a way in which a Keyward ends.
type shutdownScenario struct {
	name    string
	inOrder bool
	goes    func(*member)
}

// shutdownScenarios run in turn, each for one Keyward and then for the other.
var shutdownScenarios = []shutdownScenario{
	{"terminated", true, func(m *member) { m.Stop() }},
	{"killed", false, func(m *member) { m.Kill() }},
	{"terminated", true, func(m *member) { m.Stop() }},
	{"killed with calls in flight", false, func(m *member) {
		_ = m.Signal(syscall.SIGSTOP)
		time.Sleep(60 * time.Millisecond) // in which every client uses it again
		m.Kill()
	}},
}

// TestRollingRestart replaces two Keywards behind one Envoy in turn, under
// steady load. No request to a Keyward that is terminated has to be retried.
// For one that is killed Envoy retries with the other. Clients see neither.
func TestRollingRestart(t *testing.T) {
	const replacements = 20
	s := newSystem(t, options{config: routesConfig})
	probes := s.probes()
	members := startMembers(t, s, timeouts{"10s", "10s"})
	load := s.startSteadyLoad(probes)
	again := map[bool]int{} // requests that Envoy has retried, by whether the shutdown was orderly
	for n := range replacements {
		how, m := shutdownScenarios[n/2%len(shutdownScenarios)], members[n%2]
		before := s.envoyCount("cluster.keyward.upstream_rq_retry")
		time.Sleep(100 * time.Millisecond)
		how.goes(m)
		m.start(t)
		s.untilHealthy(m.cfg.Ports.GRPC)
		wrong, right := load.since()
		asked := s.envoyCount("cluster.keyward.upstream_rq_retry") - before
		again[how.inOrder] += asked
		if t.Logf("%d, %s: %d right, %d retried", n+1, how.name, right, asked); len(wrong) > 0 || right < 50 {
			t.Errorf("%d, %s: %d right, %s", n+1, how.name, right, strings.Join(wrong, ", "))
		}
	}
	if worst := load.stop(); again[true] > 0 || again[false] == 0 {
		t.Errorf("Envoy retried %d requests when they were terminated, want 0, and %d when they were killed, want some; slowest response %s",
			again[true], again[false], worst)
	}
}

// TestOneOfTwoFrozen is about a Keyward that accepts calls and answers none.
// Envoy retries with the other before the client's timeout, and soon uses only
// the other.
func TestOneOfTwoFrozen(t *testing.T) {
	s := newSystem(t, options{config: routesConfig})
	probes := s.probes()
	members := startMembers(t, s, timeouts{"0.8s", "2s"})
	load := s.startSteadyLoad(probes)
	time.Sleep(200 * time.Millisecond)
	if err := members[0].Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	noticed := s.envoyCount("cluster.keyward.upstream_rq_retry")
	time.Sleep(time.Second)
	if err := members[0].Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.untilHealthy(members[0].cfg.Ports.GRPC)
	wrong, right := load.since()
	again, worst := s.envoyCount("cluster.keyward.upstream_rq_retry"), load.stop()
	if t.Logf("%d right, %d retried, slowest response %s", right, again, worst); len(wrong) > 0 {
		t.Error(strings.Join(wrong, ", "))
	}
	if noticed == 0 || again > noticed {
		t.Errorf("retried: %d in the first two seconds, %d in the next", noticed, again-noticed)
	}
}

// TestRollingRestartBehindNginx is the same for a proxy without health checks:
// it learns from a failed request, and then uses the other.
func TestRollingRestartBehindNginx(t *testing.T) {
	const replacements = 8
	s := newSystem(t, options{proxy: "nginx", config: routesConfig})
	probes := s.probes()
	members := startMembers(t, s, timeouts{})
	load := s.startSteadyLoad(probes)
	for n := range replacements {
		how, m := shutdownScenarios[n/2%len(shutdownScenarios)], members[n%2]
		time.Sleep(100 * time.Millisecond)
		how.goes(m)
		m.start(t)
		if wrong, right := load.since(); len(wrong) > 0 || right < 50 {
			t.Errorf("%d, %s: %d right, %s", n+1, how.name, right, strings.Join(wrong, ", "))
		}
	}
	t.Logf("slowest response %s", load.stop())
}

// startMembers starts the system with two Keywards, and returns both. They are
// behind an Envoy configured as in the overlay for a shared Keyward, or an
// nginx as in docs/operations.md.
func startMembers(t *testing.T, s *system, times timeouts) [2]*member {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	second := &member{name: "second", cfg: stack.Config{
		Dir: s.dir, Keyward: programs.keyward, Ports: ports,
		KeywardConfig: writeFile(t, s.dir, "second.yaml", s.configText(ports)),
	}}
	t.Cleanup(func() {
		if second.Process != nil {
			second.Kill()
		}
	})
	second.start(t)
	s.opts.envoy = sharedEnvoy(times, ports.GRPC)
	s.opts.text = func(text string) string {
		return s.replaced(text, "server 127.0.0.1:9192;",
			"server 127.0.0.1:9192 max_fails=0; server "+stack.Address(ports.HTTP)+" max_fails=0;")
	}
	s.start()
	first := &member{name: "keyward", Process: s.Keyward, cfg: second.cfg}
	first.cfg.Ports, first.cfg.KeywardConfig = s.Ports(), s.writeConfig(s.Ports())
	t.Cleanup(func() { first.Kill() })
	if s.opts.proxy == "" {
		s.untilHealthy(first.cfg.Ports.GRPC)
		s.untilHealthy(second.cfg.Ports.GRPC)
	}
	return [2]*member{first, second}
}
