package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"keyward/e2e/stack"
)

func (p proxied) withoutKeyward(t *testing.T) {
	s := newSystem(t, options{proxy: p.proxy, config: routesConfig})
	key := s.key("--name", "k")
	s.start()
	if a := s.get("/any", bearer(key)); a.status != 200 {
		t.Fatalf("before: %d", a.status)
	}
	s.Keyward.Kill()
	p.deniesAll(s, key, p.dead)
	if err := s.StartKeyward(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.until("allowed again", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == 200 })
}

// deniesAll wants that status for all requests, even where no credential is
// needed.
func (p proxied) deniesAll(s *system, key string, status int) {
	s.t.Helper()
	before := s.arrived()
	for _, a := range []answer{s.get("/any", bearer(key)), s.get("/any"), s.get("/public")} {
		if a.status != status {
			s.t.Errorf("status %d, want %d", a.status, status)
		}
	}
	if n := s.arrived() - before; n != 0 {
		s.t.Errorf("%d requests reached the upstream", n)
	}
}

func (p proxied) withKeywardFrozen(t *testing.T) {
	s := newSystem(t, options{proxy: p.proxy, config: routesConfig, shippedTimeout: true})
	key := s.key("--name", "k")
	s.start()
	s.until("allowed", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == 200 })
	if err := s.Keyward.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if p.waitsLong {
		p.clientsGiveUp(s, key)
	} else {
		s.until("refused", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == p.dead })
		p.deniesAll(s, key, p.dead)
	}
	if err := s.Keyward.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.until("allowed again", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == 200 })
}

// clientsGiveUp has clients send requests and leave before they can be
// answered. Their requests must not reach the upstream when Keyward continues,
// either.
func (p proxied) clientsGiveUp(s *system, key string) {
	s.t.Helper()
	for range 5 {
		conn, err := net.Dial("tcp", stack.Address(s.Ports().Envoy))
		if err != nil {
			s.t.Fatal(err)
		}
		if err := write(conn, "GET /frozen HTTP/1.1\r\nHost: x\r\nX-API-Key: "+key+"x\r\n\r\n"); err != nil {
			s.t.Fatal(err)
		}
		conn.Close()
	}
	for _, r := range s.all() {
		if r.Path == "/frozen" {
			s.t.Error("a request reached the upstream while Keyward was frozen")
		}
	}
}

func (s *system) all() []stack.Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.received)
}

// withAnotherInKeywardsPlace runs a server at Keyward's port that sends
// garbage.
func (p proxied) withAnotherInKeywardsPlace(t *testing.T) {
	s := newSystem(t, options{proxy: p.proxy, config: routesConfig})
	key := s.key("--name", "k")
	s.start()
	s.Keyward.Kill()
	answers := make(chan string, 1)
	garbageServer(t, s.Ports().HTTP, answers)
	nonsense := []string{"garbage\r\n\r\n", "HTTP/1.1 200", "\r\n\r\n", "\x16\x03\x01\x00\x05", ""}
	if !p.anyOK {
		nonsense = append(nonsense, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n")
	}
	for _, text := range nonsense {
		answers <- text
		before := s.arrived()
		if a := s.get("/any", bearer(key)); a.status != p.garbage {
			t.Errorf("%q: %d, want %d", text, a.status, p.garbage)
		}
		if n := s.arrived() - before; n != 0 {
			t.Errorf("%q: the request reached the upstream", text)
		}
	}
}

// garbageServer listens at the port and answers each request with the latest
// text, which it takes from the channel.
func garbageServer(t *testing.T, port int, texts <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", stack.Address(port))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() {
		listener.Close()
		<-served
	})
	go func() {
		defer close(served)
		var now string
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			select {
			case now = <-texts:
			default:
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second)) // for clients that connect without a request
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, now)
			}
			conn.Close()
		}
	}()
}

func (p proxied) forgetsRevoked(t *testing.T) {
	s := newSystem(t, options{proxy: p.proxy})
	key := s.key("--name", "k")
	s.start()
	id := s.get("/", bearer(key)).received(t).Headers["x-auth-key-id"][0]
	s.keyward("key", "revoke", "--file", "keys.jsonl", id)
	a := s.until("refused", func() (answer, bool) { a := s.get("/", bearer(key)); return a, a.status != 200 })
	if a.status != 401 || a.reason() != "revoked_key" {
		t.Errorf("after the revocation: %d %s", a.status, a.reason())
	}
	created := s.key("--name", "new")
	s.until("accepted", func() (answer, bool) { a := s.get("/", bearer(created)); return a, a.status == 200 })
}
