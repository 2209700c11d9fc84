package postgres

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/eventually"
	"keyward/internal/postgrestest"
	"keyward/internal/prove"
	"keyward/store/postgres/source"
)

// inForceByPolling is how long a change may take without notifications.
const inForceByPolling = 2500 * time.Millisecond

const poolerSettings = `[databases]
%s = host=127.0.0.1 port=%d user=keyward
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 200
default_pool_size = 20
`

// startPooler starts a pooler in transaction mode before the server, and returns where it
// listens.
func startPooler(t *testing.T, c *postgrestest.Cluster) string {
	t.Helper()
	program, err := exec.LookPath("/usr/sbin/pgbouncer")
	switch {
	case err != nil && os.Getenv("CI") != "true":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "keyward-pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	account, err := postgrestest.Account(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	settings := fmt.Sprintf(poolerSettings, central, c.Port, ports.Envoy)
	if err := os.WriteFile(file, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	process, exited, err := postgrestest.StartProgram(dir, account, program, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Kill()
		<-exited
		if text, _ := os.ReadFile(filepath.Join(dir, "log")); t.Failed() {
			t.Logf("pgbouncer:\n%s", text[max(0, len(text)-3000):])
		}
	})
	return stack.Address(ports.Envoy)
}

// TestPooler: through a pooler in transaction mode everything works, and changes are in
// force by polling. The log says why, once, and so does the check of the configuration.
func TestPooler(t *testing.T) {
	c := startCluster(t)
	pooler := startPooler(t, c)
	h := startHarness(t, pooler)
	for range prove.Size(1, 20) {
		k := h.changes.create(fmt.Sprint("polled-", time.Now().UnixNano()))
		h.answers(k, "200 ok")
		h.changes.revoke(k)
		h.answers(k, "401 revoked_key")
	}
	h.verify(c)
	for _, n := range append(h.replicas, h.console) {
		if got := strings.Count(n.process.Log(), source.ErrPooler.Error()); got != 1 {
			t.Errorf("%s says %d times that there is a pooler", n.name, got)
		}
	}
	cmd := exec.Command(keyward, "config", "validate", "--files", "keyward.yaml")
	cmd.Dir = h.console.dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), source.ErrPooler.Error()) {
		t.Errorf("config validate: %v\n%s", err, out)
	}
}

// answers verifies that all replicas soon answer that for the key.
func (h *harness) answers(k *keyState, want string) {
	h.t.Helper()
	began := time.Now()
	for i := range h.replicas {
		eventually.SucceedsWithin(h.t, 10*time.Second, func() error {
			time.Sleep(pollEvery)
			h.checks.askAbout(h.t.Context(), i, k)
			if got := h.checks.ask(h.t.Context(), i, k.secret); got != want {
				return fmt.Errorf("replica %d: %s is %s, want %s", i, k.name, got, want)
			}
			return nil
		})
	}
	if took := time.Since(began); took > inForceByPolling {
		h.t.Errorf("%s is %s after %v, want at most %v", k.name, want, took, inForceByPolling)
	}
}
