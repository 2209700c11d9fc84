// Package process runs the servers that the benchmark measures, on the cores that
// it gives them, and reads their processor time, memory and allocations from
// outside.
package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Child is a server in another process, measured from outside.
type Child struct {
	Socket string        // where it answers checks
	Admin  *http.Client  // of its admin listener
	Ready  time.Duration // from its start to the first success of /readyz

	cmd     *exec.Cmd
	started time.Time
}

// Config says how to run Keyward.
type Config struct {
	Binary  string // a build of Keyward
	Dir     string // of its sockets, its configuration and its log; Start creates it
	KeyFile string
	Procs   int    // GOMAXPROCS; with 1 the server has one core to itself
	More    string // additional configuration
}

// The files in the directory of a server.
const (
	HTTPSocket = "http.sock"
	LogFile    = "log"
	ConfigFile = "keyward.yaml"
)

const yamlTemplate = `
listen: {grpc: "unix://%[1]s/grpc.sock", http: "unix://%[1]s/http.sock", admin: "unix://%[1]s/admin.sock"}
keys: {file: %[2]s}
routes: [{path: /api/v1, auth: required, scopes: ["items:read", "items:write"]}]
log: {decisions: denied}
`

// WriteConfig writes a configuration with the key file and what is more. The sockets
// are in its directory.
func WriteConfig(path, keyFile, more string) error {
	return os.WriteFile(path, append(fmt.Appendf(nil, yamlTemplate, filepath.Dir(path), keyFile), more...), 0o600)
}

// Start runs Keyward and waits until it is ready.
func Start(cfg Config) (*Child, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	yaml := filepath.Join(cfg.Dir, ConfigFile)
	if err := WriteConfig(yaml, cfg.KeyFile, cfg.More); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(cfg.Dir, LogFile))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	c := &Child{
		Socket: filepath.Join(cfg.Dir, "grpc.sock"), Admin: HTTPClient(filepath.Join(cfg.Dir, "admin.sock")),
		cmd: Command(cfg.Procs, cfg.Binary, "serve", "--config", yaml),
	}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.started = time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	return c, c.awaitReady(log.Name())
}

// StartSelf runs this program again on one core, with a flag that makes it serve
// at the socket.
func StartSelf(flag, socket string) (*Child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return StartCommand(Command(1, program, flag, socket), socket)
}

// StartCommand runs a command and waits until it listens at the socket.
func StartCommand(cmd *exec.Cmd, socket string) (*Child, error) {
	c := &Child{Socket: socket, cmd: cmd}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for range 2000 {
		if conn, err := net.Dial("unix", socket); err == nil {
			return c, conn.Close()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil, fmt.Errorf("nothing listens at %s", socket)
}

// HTTPClient returns an HTTP client for a socket.
func HTTPClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
}

func (c *Child) awaitReady(log string) error {
	for time.Since(c.started) < time.Minute {
		response, err := c.Admin.Get("http://admin/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				c.Ready = time.Since(c.started)
				return nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	text, _ := os.ReadFile(log)
	return fmt.Errorf("keyward did not become ready:\n%s", text)
}

// Stop ends the child and waits for it.
func (c *Child) Stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return c.cmd.Wait()
}

// Kill ends a child that does not end by itself.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// Resident returns the child's resident memory in bytes.
func (c *Child) Resident() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS in the status of process %d", c.cmd.Process.Pid)
}

// CPU returns the processor time that the child has used since its start.
func (c *Child) CPU() (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", c.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("no tasks of process %d: %w", c.cmd.Process.Pid, err)
	}
	var sum time.Duration
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		first, _, _ := bytes.Cut(text, []byte(" "))
		ns, err := strconv.ParseInt(string(first), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// Allocated returns what the child's Go runtime has allocated since its start.
func (c *Child) Allocated() (bytes, objects float64, err error) {
	response, err := c.Admin.Get("http://admin/metrics")
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "go_memstats_alloc_bytes_total":
			bytes, err = strconv.ParseFloat(value, 64)
		case "go_memstats_mallocs_total":
			objects, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	if bytes == 0 || objects == 0 {
		return 0, 0, fmt.Errorf("no count of allocations in the metrics, status %s", response.Status)
	}
	return bytes, objects, nil
}
