package e2e

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// TestDeadKeyward: without Keyward every request is denied, and requests are
// allowed again once it is back.
func TestDeadKeyward(t *testing.T) { throughAsking(t, deadKeyward) }

func deadKeyward(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: routesConfig})
	key := s.key("--name", "k")
	s.start()
	if a := s.get("/any", bearer(key)); a.status != 200 {
		t.Fatalf("before: %d", a.status)
	}
	s.Keyward.Kill()
	s.deniesAll(key)
	if err := s.StartKeyward(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.until("allowed again", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == 200 })
}

// TestFrozenKeyward: a Keyward that accepts connections and never replies.
func TestFrozenKeyward(t *testing.T) { throughAsking(t, frozenKeyward) }

func frozenKeyward(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: routesConfig, shippedTimeout: true})
	key := s.key("--name", "k")
	s.start()
	s.until("allowed", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == 200 })
	if err := s.Keyward.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// One of its threads may still reply after the signal was sent.
	s.until("refused", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == 503 })
	asked := time.Now()
	s.deniesAll(key)
	// Five requests at a quarter of a second each, with a margin for a busy
	// machine.
	if took := time.Since(asked); took > 10*time.Second {
		t.Errorf("the denials took %s", took)
	}
	if err := s.Keyward.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.until("allowed again", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == 200 })
}

// deniesAll wants 503 for all requests, even where no credential is needed.
func (s *system) deniesAll(key string) {
	s.t.Helper()
	before := s.arrived()
	for _, a := range []answer{
		s.get("/any", bearer(key)), s.get("/any", bearer("kw_junk")), s.get("/any"), s.get("/public"),
		s.request("HEAD", "/any", bearer(key)),
	} {
		if a.status != 503 {
			s.t.Errorf("status %d, want 503", a.status)
		}
	}
	if n := s.arrived() - before; n != 0 {
		s.t.Errorf("%d requests reached the upstream", n)
	}
}

// TestTerminatedKeyward: an orderly stop fails no request that is answered, and
// the process ends.
func TestTerminatedKeyward(t *testing.T) {
	s := newSystem(t, options{config: routesConfig})
	key := s.key("--name", "k")
	s.start()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.Keyward.Stop()
	}()
	for done := false; !done; {
		select {
		case <-stopped:
			done = true
		default:
			if a := s.get("/any", bearer(key)); a.status != 200 && a.status != 503 {
				t.Errorf("while stopping: %d %s", a.status, a.reason())
			}
		}
	}
	s.deniesAll(key)
}

// TestStackThatCannotStart makes the last part fail. No part may be left
// running.
func TestStackThatCannotStart(t *testing.T) {
	s := newSystem(t, options{})
	s.key("--name", "k")
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", stack.Address(ports.Envoy))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = stack.Start(t.Context(), stack.Config{
		Dir: s.dir, Keyward: programs.keyward, Ports: ports,
		KeywardConfig: s.writeConfig(ports), Proxy: s.envoyProxy(),
	})
	if err == nil || !strings.Contains(err.Error(), "already in use") {
		t.Errorf("error %v", err)
	}
	ports.Envoy = ports.EnvoyAdmin // which Envoy would have served too
	waitUntilFree(t, ports)
}
