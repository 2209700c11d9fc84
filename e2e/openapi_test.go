package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// managed is a Keyward with the management API, and the key of an administrator.
type managed struct {
	t       *testing.T
	dir     string
	address string
	admin   string
}

// startManaged starts a Keyward with a console in a directory of its own.
func startManaged(t *testing.T) *managed {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	m := &managed{t: t, dir: t.TempDir(), address: stack.Address(ports.Console)}
	config := fmt.Sprintf(`listen: {grpc: %q, http: "", admin: %q, console: %q}
users: {file: users.jsonl}
audit: {file: audit.jsonl}
state: {file: keyward.db}
log: {level: error, decisions: none}
`, stack.Address(ports.GRPC), stack.Address(ports.Admin), m.address)
	if err := os.WriteFile(filepath.Join(m.dir, "keyward.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	m.admin = m.administrator("root")
	m.administrator("second") // the last one cannot be disabled
	server, err := stack.StartKeyward(t.Context(), "keyward", stack.Config{Dir: m.dir, Keyward: programs.keyward, KeywardConfig: "keyward.yaml", Ports: ports})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return m
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

// ends are the operations that may end the key with which the others are tried.
var ends = []string{"revoke-key", "revoke-own-key", "rotate-key", "rotate-own-key", "delete-key", "revoke-keys", "update-user", "delete-user"}

// TestOpenAPIDocument has Schemathesis send requests that it makes of the OpenAPI
// document, good ones and bad ones: none is answered with a 5xx, and every answer has
// a status, a media type and a body that the document has.
func TestOpenAPIDocument(t *testing.T) {
	need(t, "Schemathesis")
	examples := 25
	if os.Getenv("KEYWARD_PROVE") != "" {
		examples = 1000
	}
	m := startManaged(t)
	var others []string
	for _, id := range ends {
		others = append(others, "--exclude-operation-id", id)
	}
	m.schemathesis(m.admin, examples, others...)
	for i, id := range ends {
		m.schemathesis(m.administrator(fmt.Sprintf("of %d", i)), examples, "--include-operation-id", id)
	}
}

var tested = regexp.MustCompile(`(\d+) generated, (\d+) passed`)

func (m *managed) schemathesis(key string, examples int, args ...string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", append([]string{
		"-m", "schemathesis.cli", "run", "http://" + m.address + "/api/openapi.json", "--header", "Authorization: Bearer " + key,
		"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,unsupported_method",
		"--phases", "examples,coverage,fuzzing", "--max-examples", fmt.Sprint(examples), "--seed", "1", "--no-color",
	}, args...)...)
	cmd.Dir, cmd.Env = m.dir, append(os.Environ(), "PYTHONPATH="+programs.schemathesis)
	out, err := cmd.CombinedOutput()
	found := tested.FindStringSubmatch(string(out))
	if err != nil || found == nil || found[1] != found[2] || found[1] == "0" {
		m.t.Errorf("%q: %v\n%s", args, err, out)
		return
	}
	m.t.Logf("%q: %s requests", args, found[1])
}
