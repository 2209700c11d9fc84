package main

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

// child is a running bin/keyward that is measured from outside.
type child struct {
	cmd     *exec.Cmd
	socket  string
	admin   *http.Client
	started time.Time
	ready   time.Duration // from start to /readyz
}

const childConfig = `
listen: {grpc: "unix://%[1]s/grpc.sock", http: "unix://%[1]s/http.sock", admin: "unix://%[1]s/admin.sock"}
keys: {file: %[2]s}
routes: [{path: /api/v1, auth: required, scopes: ["items:read", "items:write"]}]
log: {decisions: denied}
`

// startChild starts the binary with the key file, on one core if procs is 1.
func startChild(binary, dir string, keys *keyFile, procs int) (*child, error) {
	return startChildWith(binary, dir, keys, procs, "")
}

// startChildWith is startChild with additional configuration.
func startChildWith(binary, dir string, keys *keyFile, procs int, more string) (*child, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "keyward.yaml")
	if err := os.WriteFile(config, append(fmt.Appendf(nil, childConfig, dir, keys.path), more...), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	c := &child{socket: filepath.Join(dir, "grpc.sock"), admin: clientOf(filepath.Join(dir, "admin.sock"))}
	c.cmd = command(procs, binary, "serve", "--config", config)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.started = time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	return c, c.awaitReady(filepath.Join(dir, "log"))
}

// clientOf returns an HTTP client for a socket.
func clientOf(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
}

// command returns a command on that number of cores, which is killed when this
// process ends.
func command(procs int, args ...string) *exec.Cmd {
	cores := "0" // so that the runtime's own threads use that one core too
	if procs > 1 {
		cores = allCores // even if this process is bound to one
	}
	args = append([]string{"-c", cores}, args...)
	cmd := exec.Command("taskset", args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(procs))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (c *child) awaitReady(log string) error {
	for time.Since(c.started) < time.Minute {
		response, err := c.admin.Get("http://admin/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				c.ready = time.Since(c.started)
				return nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	text, _ := os.ReadFile(log)
	return fmt.Errorf("keyward did not become ready:\n%s", text)
}

// stop ends the child and waits for it.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return c.cmd.Wait()
}

// resident returns the child's resident memory in bytes.
func (c *child) resident() (int64, error) {
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

// cpu returns the processor time that the child has used since its start.
func (c *child) cpu() (time.Duration, error) {
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

// allocated returns what the child's Go runtime has allocated since its start.
func (c *child) allocated() (bytes, objects float64, err error) {
	response, err := c.admin.Get("http://admin/metrics")
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
