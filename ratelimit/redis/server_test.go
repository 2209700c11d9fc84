package redis

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/latencyproxy"
)

// server is a real Redis that the test starts.
type server struct {
	t    testing.TB
	args []string
	dir  string
	addr string
	cmd  *exec.Cmd
}

// program skips the test if Redis is not installed, unless all tests must run.
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

// start also restarts a killed server at the same address.
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
		if reply, err := s.say("PING"); err == nil && (reply == "+PONG" || strings.HasPrefix(reply, "-NOAUTH")) {
			return
		} else if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("redis does not answer: %v\n%s", err, log)
		}
	}
}

func (s *server) socket() string { return filepath.Join(s.dir, "s") }

// say sends a command on a new connection and returns the first line of the
// reply.
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
	if reply, err := s.say(command); err != nil || strings.HasPrefix(reply, "-") {
		s.t.Fatal(command, reply, err)
	}
}

// kill sends SIGKILL.
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

// openLink puts a proxy in front of the server that can delay it.
func (s *server) openLink() *latencyproxy.Proxy {
	s.t.Helper()
	l, err := latencyproxy.Open(s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = l.Close() })
	return l
}
