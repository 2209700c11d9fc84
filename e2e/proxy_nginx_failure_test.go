package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// fake takes Keyward's place with one response, byte for byte.
func (s *system) fake(answer string) {
	s.t.Helper()
	listener, err := net.Listen("tcp", stack.Address(s.Ports().HTTP))
	if err != nil {
		s.t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, answer)
				}
			})
		}
	})
	s.t.Cleanup(func() {
		listener.Close()
		conns.Wait()
	})
}

// TestNginxAgainstForeignResponses: any other server in Keyward's place leads
// to denials only.
func TestNginxAgainstForeignResponses(t *testing.T) {
	for name, c := range map[string]struct {
		answer        string
		status, plain int
	}{
		"nothing":             {"", 503, 500},
		"garbage":             {"\x00\x01garbage\r\n\r\n", 503, 500},
		"half a line":         {"HTTP/1.1 20", 503, 500},
		"another's 200":       {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", 503, 500},
		"empty target":        {"HTTP/1.1 200 OK\r\nX-Keyward-Uri:\r\nContent-Length: 0\r\n\r\n", 503, 500},
		"another host":        {"HTTP/1.1 200 OK\r\nX-Keyward-Uri: @192.0.2.1/\r\nContent-Length: 0\r\n\r\n", 503, 500},
		"204":                 {"HTTP/1.1 204 No Content\r\n\r\n", 503, 500},
		"302":                 {"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 503, 500},
		"404":                 {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 503, 500},
		"500":                 {"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 503, 500},
		"100 and no more":     {"HTTP/1.1 100 Continue\r\n\r\n", 503, 500},
		"more than it takes":  {"HTTP/1.1 200 OK\r\nX-Keyward-Uri: /any\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", 503, 500},
		"a line without name": {"HTTP/1.1 200 OK\r\n: x\r\n\r\n", 503, 500},
	} {
		for proxy, want := range map[string]int{"nginx": c.status, "nginx-plain": c.plain} {
			t.Run(name+"/"+proxy, func(t *testing.T) {
				s := newSystem(t, options{proxy: proxy, config: routesConfig})
				key := s.key("--name", "k")
				s.start()
				s.Keyward.Kill()
				s.fake(c.answer)
				for _, target := range []string{"/any", "/public"} {
					if a := s.get(target, bearer(key)); a.status != want {
						t.Errorf("%s: %d %s, want %d", target, a.status, a.body, want)
					}
				}
				if n := s.arrived(); n != 0 {
					t.Errorf("%d requests reached the upstream", n)
				}
			})
		}
	}
}

// TestNginxPlainWithoutKeyward is about the file without a rule for 503.
func TestNginxPlainWithoutKeyward(t *testing.T) {
	s := newSystem(t, options{proxy: "nginx-plain", config: routesConfig, shippedTimeout: true})
	key := s.key("--name", "k")
	s.start()
	s.until("allowed", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == 200 })
	if err := s.Keyward.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.until("refused", func() (answer, bool) { a := s.get("/any", bearer(key)); return a, a.status == 500 })
	before := s.arrived()
	s.get("/any", bearer(key))
	s.Keyward.Kill()
	for _, target := range []string{"/any", "/public"} {
		if a := s.get(target, bearer(key)); a.status != 500 {
			t.Errorf("%s: %d", target, a.status)
		}
	}
	if n := s.arrived() - before; n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}
