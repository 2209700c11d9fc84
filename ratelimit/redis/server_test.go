package redis

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keyward/authz"
)

// server is a real Redis of the test's own.
type server struct {
	t    testing.TB
	args []string
	dir  string
	addr string
	cmd  *exec.Cmd
}

// program skips the test where there is no Redis, but not where all must be tested.
func program(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if path, err = exec.LookPath("valkey-server"); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("neither redis-server nor valkey-server is installed")
			}
			t.Skip("neither redis-server nor valkey-server is installed")
		}
	}
	return path
}

func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, args: args, dir: t.TempDir(), addr: net.JoinHostPort("127.0.0.1", freePort(t))}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// start also starts again what was killed, at the same address.
func (s *server) start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	args := append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no",
		"--unixsocket", s.socket(), "--logfile", filepath.Join(s.dir, "log")}, s.args...)
	s.cmd = exec.Command(program(s.t), args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if answer, err := s.say("PING"); err == nil && (answer == "+PONG" || strings.HasPrefix(answer, "-NOAUTH")) {
			return
		} else if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("redis does not answer: %v\n%s", err, log)
		}
	}
}

func (s *server) socket() string { return filepath.Join(s.dir, "s") }

// say sends a command by itself and returns the first line of the answer.
func (s *server) say(command string) (string, error) {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

func (s *server) must(command string) {
	s.t.Helper()
	if answer, err := s.say(command); err != nil || strings.HasPrefix(answer, "-") {
		s.t.Fatal(command, answer, err)
	}
}

// kill is kill -9.
func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) url() string { return "redis://" + s.addr }

func openStore(t testing.TB, url string, timeout time.Duration) *Store {
	t.Helper()
	s, err := New(Config{URL: authz.NewSecret(url), Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// proxy stands before a server and delays what it says.
type proxy struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	delay time.Duration
	conns []net.Conn
}

func startProxy(t testing.TB, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to}
	var all sync.WaitGroup
	all.Go(func() { p.serve(&all) })
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		all.Wait()
	})
	return p
}

func (p *proxy) url() string { return fmt.Sprintf("redis://%s", p.listener.Addr()) }

func (p *proxy) set(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

func (p *proxy) serve(all *sync.WaitGroup) {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, near, far)
		p.mu.Unlock()
		all.Go(func() { p.pass(far, near, false) })
		all.Go(func() { p.pass(near, far, true) })
	}
}

func (p *proxy) pass(to, from net.Conn, slowly bool) {
	defer to.Close()
	room := make([]byte, 4096)
	for {
		n, err := from.Read(room)
		if err != nil {
			return
		}
		if slowly {
			p.mu.Lock()
			delay := p.delay
			p.mu.Unlock()
			time.Sleep(delay)
		}
		if _, err := to.Write(room[:n]); err != nil {
			return
		}
	}
}
