package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyward/e2e/stack"
)

var (
	example     = regexp.MustCompile(`^(curl -i .*[^ ]) +# (\d{3})$`)
	consoleLine = regexp.MustCompile(`^open (http://[^ ]+)   user: (\w+)   one-time password: (\w+)$`)
	setVariable = regexp.MustCompile(`^([A-Z]+)=\$\(.*\)$`)
)

// TestMakeRun pastes each line that `make run` prints into a shell, and then
// kills make, which must leave no process running.
func TestMakeRun(t *testing.T) {
	for name, proxy := range map[string]string{"": "", "PROXY=envoy": "", "PROXY=module": "envoy-module", "PROXY=nginx": "nginx"} {
		t.Run(name, func(t *testing.T) {
			need(t, proxies[proxy].program)
			makeRun(t, strings.Fields("run "+name)...)
		})
	}
}

func makeRun(t *testing.T, args ...string) {
	t.Helper()
	need(t, "curl")
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("make", args...)
	cmd.Dir = programs.root
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = slices.DeleteFunc(append(os.Environ(), portVariables(ports)...), func(v string) bool {
		return strings.HasPrefix(v, "MAKE") // of the make that runs this test
	})
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(3*time.Minute, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop.Stop()

	seen, console := pasteExamples(t, out)
	firstLogin(t, console)
	for _, status := range []string{"200", "204", "401", "403"} {
		if seen[status] == 0 {
			t.Errorf("no example of a %s", status)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // an error is expected, since it was killed
	waitUntilFree(t, ports)
}

// pasteExamples reads until `ready`, runs the examples and returns their number
// by status, and the line about the console.
func pasteExamples(t *testing.T, out io.Reader) (seen map[string]int, console string) {
	t.Helper()
	var examples []string
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		if consoleLine.MatchString(lines.Text()) {
			console = lines.Text()
		}
		if example.MatchString(lines.Text()) || setVariable.MatchString(lines.Text()) {
			examples = append(examples, lines.Text())
		}
	}
	if lines.Text() != "ready" {
		t.Fatal("make run ended before it was ready")
	}
	seen = map[string]int{}
	shell := shell{t: t}
	for _, line := range examples {
		if set := setVariable.FindStringSubmatch(line); set != nil {
			shell.assign(set[1], line)
			continue
		}
		e := example.FindStringSubmatch(line)
		command, status := e[1], e[2]
		answer := shell.paste(command)
		if !strings.HasPrefix(answer, "HTTP/1.1 "+status+" ") {
			t.Errorf("%s: want %s, got %s", command, status, answer)
		}
		shows := `"x-auth-subject"` // the upstream
		switch {
		case strings.HasSuffix(command, "/v1/auth/verify"):
			shows = `"authenticated":true,"user_id":"alice"` // Keyward
		case strings.Contains(command, "/api/v1/keys/"):
			shows = `"state":"revoked"`
		case strings.Contains(command, "/api/v1/audit"):
			shows = `"action":"key.revoke"`
		}
		if status == "200" && !strings.Contains(answer, shows) {
			t.Errorf("%s: no %s in %s", command, shows, answer)
		}
		seen[status]++
	}
	return seen, console
}

// firstLogin logs in to the console as the line says, which leads to a new password.
func firstLogin(t *testing.T, line string) {
	t.Helper()
	said := consoleLine.FindStringSubmatch(line)
	if said == nil {
		t.Fatal("make run printed no login to the console")
	}
	form := url.Values{"username": {said[2]}, "password": {said[3]}}
	r, err := http.NewRequest(http.MethodPost, said[1]+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	got, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = got.Body.Close()
	if got.StatusCode != http.StatusSeeOther || len(got.Cookies()) != 1 {
		t.Fatalf("login to the console: %s", got.Status)
	}
	if r, err = http.NewRequest(http.MethodGet, said[1]+got.Header.Get("Location"), http.NoBody); err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: got.Cookies()[0].Name, Value: got.Cookies()[0].Value})
	if got, err = http.DefaultTransport.RoundTrip(r); err != nil {
		t.Fatal(err)
	}
	_ = got.Body.Close()
	if to := got.Header.Get("Location"); to != "/account/password" {
		t.Errorf("the first page: %s, to %q", got.Status, to)
	}
}

// shell is a shell into which lines are pasted, with its variables.
type shell struct {
	t         *testing.T
	variables []string
}

func (s *shell) run(command string) string {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(os.Environ(), s.variables...)
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s: %v", command, err)
	}
	return string(out)
}

// assign runs a line that sets a variable.
func (s *shell) assign(name, line string) {
	s.t.Helper()
	value := s.run(line + "\nprintf %s \"$" + name + "\"")
	if value == "" {
		s.t.Fatalf("%s: %s is empty", line, name)
	}
	s.variables = append(s.variables, name+"="+value)
}

// paste runs a command and returns its output. It retries if a password was not
// hashed in time (see retryHashing).
func (s *shell) paste(command string) (answer string) {
	s.t.Helper()
	for range maxHashTries {
		if answer = s.run(command); !strings.HasPrefix(answer, "HTTP/1.1 503 ") || !strings.Contains(command, " -u ") {
			break
		}
		time.Sleep(time.Second)
	}
	return answer
}

func portVariables(p stack.Ports) []string {
	set := func(name string, port int) string { return name + "=" + strconv.Itoa(port) }
	return []string{
		set("ENVOY_PORT", p.Envoy), set("ENVOY_ADMIN_PORT", p.EnvoyAdmin), set("GRPC_PORT", p.GRPC),
		set("HTTP_PORT", p.HTTP), set("ADMIN_PORT", p.Admin), set("CONSOLE_PORT", p.Console), set("ISSUER_PORT", p.Issuer), set("UPSTREAM_PORT", p.Upstream),
	}
}

func waitUntilFree(t *testing.T, ports stack.Ports) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, port := range []int{ports.Envoy, ports.EnvoyAdmin, ports.GRPC, ports.HTTP, ports.Admin, ports.Console, ports.Issuer, ports.Upstream} {
		for {
			conn, err := net.Dial("tcp", stack.Address(port))
			if err != nil {
				break
			}
			conn.Close()
			select {
			case <-deadline:
				t.Fatalf("port %d is still served", port)
			case <-tick.C:
			}
		}
	}
}
