package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// shutdownScenario is how a Keyward goes.
type shutdownScenario struct {
	name    string
	inOrder bool
	goes    func(*member)
}

// shutdownScenarios come in turn, each for one and then for the other.
var shutdownScenarios = []shutdownScenario{
	{"terminated", true, func(m *member) { m.Stop() }},
	{"killed", false, func(m *member) { m.Kill() }},
	{"terminated", true, func(m *member) { m.Stop() }},
	{"killed with calls under way", false, func(m *member) {
		_ = m.Signal(syscall.SIGSTOP)
		time.Sleep(60 * time.Millisecond) // in which each client comes to ask it
		m.Kill()
	}},
}

// TestRollingRestart replaces two Keywards behind one Envoy in turn, under
// steady load. Of those that are told to go nobody has to be asked again; of
// those that are killed Envoy asks the other, and clients see nothing of either.
func TestRollingRestart(t *testing.T) {
	const replacements = 20
	s := newSystem(t, options{config: routesConfig})
	probes := s.probes()
	members := startMembers(t, s, timeouts{"10s", "10s"})
	load := s.startSteadyLoad(probes)
	again := map[bool]int{} // requests that Envoy has asked again, by whether in order
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
		if t.Logf("%d, %s: %d right, %d asked again", n+1, how.name, right, asked); len(wrong) > 0 || right < 50 {
			t.Errorf("%d, %s: %d right, %s", n+1, how.name, right, strings.Join(wrong, ", "))
		}
	}
	if worst := load.stop(); again[true] > 0 || again[false] == 0 {
		t.Errorf("Envoy asked again %d times when they were terminated, want 0, and %d times when they were killed, want some; slowest answer %s",
			again[true], again[false], worst)
	}
}

// TestOneOfTwoFrozen is about a Keyward that takes calls and answers none: Envoy
// asks the other instead before the client's time is over, and soon the other alone.
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
	if t.Logf("%d right, %d asked again, the slowest answer after %s", right, again, worst); len(wrong) > 0 {
		t.Error(strings.Join(wrong, ", "))
	}
	if noticed == 0 || again > noticed {
		t.Errorf("asked again: %d in the first two seconds, %d in the next", noticed, again-noticed)
	}
}

// TestRollingRestartBehindNginx is the same for a proxy that does not ask how
// they are: it finds out by asking, and then asks the other.
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
	t.Logf("the slowest answer after %s", load.stop())
}

// startMembers starts the system with two Keywards behind an Envoy that is
// configured as the overlay for a shared Keyward says, or an nginx as docs/operations.md says, and returns both.
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
