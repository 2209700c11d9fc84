package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keyward/bench/process"
	"keyward/e2e/stack"
)

// managed is a Keyward with the management API, and the key of an administrator.
type managed struct {
	t       *testing.T
	dir     string
	address string
	admin   string
	ports   stack.Ports
	process *stack.Process
}

// startManaged starts a Keyward with a console in a directory of its own.
func startManaged(t *testing.T) *managed {
	t.Helper()
	return startManagedWith(t, "log: {level: error, decisions: none}")
}

// startManagedWith is startManaged with more of the configuration.
func startManagedWith(t *testing.T, settings string) *managed {
	t.Helper()
	m := newManaged(t, settings)
	m.admin = m.administrator("root")
	m.administrator("second") // the last one cannot be disabled
	m.start()
	t.Cleanup(func() { m.process.Stop() })
	return m
}

// newManaged writes the configuration of a Keyward with a console, which does not run and
// has no administrator.
func newManaged(t *testing.T, settings string) *managed {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	m := &managed{t: t, dir: t.TempDir(), ports: ports, address: stack.Address(ports.Console)}
	config := fmt.Sprintf(`listen: {grpc: %q, http: "", admin: %q, console: %q}
users: {file: users.jsonl}
projects: {file: projects.jsonl}
clients: {file: clients.jsonl}
usage: {file: usage.jsonl}
audit: {file: audit.jsonl}
state: {file: keyward.db}
%s
`, stack.Address(ports.GRPC), stack.Address(ports.Admin), m.address, settings)
	if err := os.WriteFile(filepath.Join(m.dir, "keyward.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// start starts Keyward, again if it was killed.
func (m *managed) start() {
	m.t.Helper()
	config := stack.Config{Dir: m.dir, Keyward: programs.keyward, KeywardConfig: "keyward.yaml", Ports: m.ports}
	process, err := stack.StartKeyward(m.t.Context(), "keyward", config)
	if process != nil {
		m.process = process
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// startOnOneCore is start on the first core; everything else is then on the other one.
func (m *managed) startOnOneCore() {
	m.t.Helper()
	m.t.Cleanup(func() { _ = process.Unpin() })
	if err := process.Pin(0); err != nil {
		m.t.Fatal(err)
	}
	m.start()
	if err := process.Pin(1); err != nil {
		m.t.Fatal(err)
	}
}

// administrator makes a user with a key, and returns the key.
func (m *managed) administrator(name string) string {
	m.t.Helper()
	m.run("user", "set", name, "--scope", "keyward:admin")
	return m.run("key", "create", "--name", name, "--user", name, "--scope", "keyward:admin")
}

// run runs a command of keyward and returns its standard output.
func (m *managed) run(args ...string) string {
	m.t.Helper()
	cmd := exec.Command(programs.keyward, append(args, "--config", "keyward.yaml")...)
	cmd.Dir = m.dir
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("keyward %q: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}
