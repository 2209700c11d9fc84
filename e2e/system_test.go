package e2e

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// system is a stack under test, with the requests that its upstream received.
type system struct {
	*stack.Stack
	t    *testing.T
	dir  string
	opts options
	// moduleAdmin is the port of the listener for metrics of Envoy's module; 0
	// without it.
	moduleAdmin int

	mu       sync.Mutex
	received []stack.Received
}

// options are the differences of a system from the default one.
type options struct {
	// keys are further settings of `keys`, each after a comma.
	keys string
	// config is keyward.yaml without `keys` and `listen`.
	config string
	grpc   string // listen.grpc; "" for a free port
	http   string // listen.http, likewise
	issuer bool   // listen.issuer, and what it needs
	// example is a file of deploy/examples that is already in the system's
	// directory and replaces the generated configuration.
	example string
	// proxy is one of those in proxies_test.go; "" for Envoy.
	proxy string
	// envoy changes Envoy's shipped configuration, and text that of other
	// proxies.
	envoy func(*testing.T, *stack.EnvoyConfig)
	text  func(string) string
	// env are variables of an Envoy with the module, and moduleText makes the module's
	// keyward.yaml of that of the Keyward beside it; nil for the same file.
	env        []string
	moduleText func(string) string
	// follow makes that Envoy take its listeners from listeners.yaml in its directory.
	follow bool
	// diffs are changes to shipped files, those of any proxy.
	diffs []hunk
	// upstream replaces the API that echoes what it received.
	upstream func(address string) (stop func(), err error)
	// keyward replaces the usual binary.
	keyward string
	// shippedTimeout keeps the quarter of a second that Keyward has to answer.
	// Tests that are not about time allow more, so that a busy machine fails
	// none.
	shippedTimeout bool
}

// allSources enables every place for a credential.
const allSources = `
credentials: {header: X-API-Key, cookie: session, reserved_query: [access_token, api_key]}
log: {level: debug, decisions: all}
`

// newSystem makes the directory of a system that is not started yet.
func newSystem(t *testing.T, opts options) *system {
	t.Helper()
	need(t, proxies[opts.proxy].program)
	if opts.config == "" {
		opts.config = allSources
	}
	return &system{t: t, dir: t.TempDir(), opts: opts}
}

// startSystem starts a system with a key file without keys in use.
func startSystem(t *testing.T, opts options) *system {
	t.Helper()
	s := newSystem(t, opts)
	s.key("--name", "first")
	s.start()
	return s
}

func (s *system) start() {
	s.t.Helper()
	var err error
	for range 3 {
		ports, failed := stack.FreePorts()
		if failed != nil {
			s.t.Fatal(failed)
		}
		s.Stack, err = stack.Start(s.t.Context(), stack.Config{
			Dir: s.dir, Keyward: cmp.Or(s.opts.keyward, programs.keyward), Ports: ports,
			KeywardConfig: s.writeConfig(ports), Proxy: proxies[s.opts.proxy].build(s), Observe: s.observe, Upstream: s.opts.upstream,
		})
		// A port that was free may be taken by the time it is listened on.
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), "already in use") {
			break
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		s.Keyward.Kill() // it would drain for a second
		s.Stop()
		if s.t.Failed() {
			s.t.Logf("keyward's log:\n%s", tail(s.Keyward.Log()))
			s.t.Logf("the proxy's log:\n%s", tail(s.Proxy.Log()))
		}
	})
}

func (s *system) writeConfig(ports stack.Ports) string {
	s.t.Helper()
	if s.opts.example != "" {
		return s.listenOn(ports)
	}
	file := filepath.Join(s.dir, "keyward.yaml")
	if err := os.WriteFile(file, []byte(s.configText(ports)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// configText returns the configuration of a Keyward that listens on these
// ports.
func (s *system) configText(ports stack.Ports) string {
	grpc := s.opts.grpc
	if grpc == "" {
		grpc = stack.Address(ports.GRPC)
	}
	http := s.opts.http
	if http == "" {
		http = stack.Address(ports.HTTP)
	}
	more := ""
	if s.opts.issuer {
		more = fmt.Sprintf(", issuer: %q, console: %q", stack.Address(ports.Issuer), stack.Address(ports.Console))
	}
	return fmt.Sprintf("listen: {grpc: %q, http: %q, admin: %q%s}\nkeys: {file: keys.jsonl%s}\n%s",
		grpc, http, stack.Address(ports.Admin), more, s.opts.keys, s.opts.config)
}

var listenSection = regexp.MustCompile(`(?m)^listen: .*\n`)

// listenOn changes the ports of an example, which listens on Keyward's default
// ports.
func (s *system) listenOn(ports stack.Ports) string {
	s.t.Helper()
	file := filepath.Join(s.dir, s.opts.example)
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	section := fmt.Sprintf("listen: {grpc: %q, http: %q, admin: %q", stack.Address(ports.GRPC), stack.Address(ports.HTTP), stack.Address(ports.Admin))
	if strings.Contains(string(text), "\nissuer:") {
		section += fmt.Sprintf(", issuer: %q", stack.Address(ports.Issuer))
	}
	text = append(listenSection.ReplaceAll(text, nil), section+"}\n"...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.opts.example
}

func (s *system) observe(r stack.Received) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, r)
}

// arrived returns how many requests have reached the upstream.
func (s *system) arrived() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.received)
}

// keyward runs a command in the system's directory and returns its output.
func (s *system) keyward(args ...string) string {
	s.t.Helper()
	cmd := s.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("keyward %s: %v: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// command returns a command of Keyward in the system's directory.
func (s *system) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), programs.keyward, args...)
	cmd.Dir = s.dir
	return cmd
}

// key creates a key and returns it.
func (s *system) key(args ...string) string {
	s.t.Helper()
	return s.keyward(append([]string{"key", "create", "--file", "keys.jsonl"}, args...)...)
}

func tail(text string) string {
	const enough = 4000
	if len(text) <= enough {
		return text
	}
	return "…" + text[len(text)-enough:]
}

// decisionLog returns the log of Keyward, and of Envoy if the module is there, whose log is
// Envoy's.
func (s *system) decisionLog() string {
	log := fullLog(s.Keyward)
	if s.moduleAdmin != 0 {
		log += s.Proxy.Log()
	}
	return log
}

// fullLog returns Keyward's log including the last lines, which it buffers for
// some milliseconds.
func fullLog(p *stack.Process) string {
	time.Sleep(50 * time.Millisecond)
	return p.Log()
}
