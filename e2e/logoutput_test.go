package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/prove"

	"golang.org/x/sys/unix"
)

// logOutput is a kind of standard output and error of a Keyward.
type logOutput struct {
	name  string
	open  func(t *testing.T, dir string) (out, reader *os.File) // reader is where the log can be read, if anywhere
	shell string                                                // runs before the program, in its process
	drops bool                                                  // lines must be dropped
	heal  func(t *testing.T, pid int)                           // makes the output accept lines again
}

const runProgram = `exec "$0" "$@"`

var logOutputs = []logOutput{
	{name: "a pipe that is never read", open: openPipe, shell: runProgram, drops: true},
	{name: "a pipe that is read again", open: openPipe, shell: runProgram, drops: true, heal: func(*testing.T, int) {}},
	{name: "a pipe whose reader is closed", shell: runProgram, drops: true,
		open: func(t *testing.T, dir string) (out, reader *os.File) {
			out, reader = openPipe(t, dir)
			if err := reader.Close(); err != nil {
				t.Fatal(err)
			}
			return out, nil
		}},
	{name: "closed", open: openPipe, shell: `exec "$0" "$@" >&- 2>&-`},
	{name: "a full device", shell: runProgram, drops: true,
		open: func(t *testing.T, _ string) (out, reader *os.File) {
			return openFile(t, "/dev/full", os.O_WRONLY), nil
		}},
	// A file of limited size behaves as on a full disk: a partial write, then
	// an error.
	{name: "a file at its size limit, until that is raised", shell: "ulimit -S -f 16; " + runProgram, drops: true, open: openLogFile,
		heal: func(t *testing.T, pid int) {
			if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}, nil); err != nil {
				t.Fatal(err)
			}
		}},
}

func openPipe(t *testing.T, _ string) (out, reader *os.File) {
	reader, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	return out, reader
}

func openLogFile(t *testing.T, dir string) (out, reader *os.File) {
	file := filepath.Join(dir, "log")
	return openFile(t, file, os.O_CREATE|os.O_APPEND|os.O_WRONLY), openFile(t, file, os.O_RDONLY)
}

func openFile(t *testing.T, name string, flags int) *os.File {
	file, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// TestLogOutput: whatever happens to its log, a Keyward answers checks on all
// listeners. Failed TLS handshakes leave nothing behind, each dropped line is
// counted, the log resumes if it can, and SIGTERM ends the process with
// success.
func TestLogOutput(t *testing.T) {
	for _, output := range logOutputs {
		t.Run(output.name, func(t *testing.T) {
			t.Parallel()
			k := startLogging(t, output)
			l := k.startLoad()
			l.fillLog()
			time.Sleep(prove.Size(4*time.Second, 10*time.Minute))
			if output.drops {
				k.eventually(func() error { return k.atLeast("keyward_log_dropped_lines_total", 1) })
			}
			l.stop()
			k.eventually(func() error { return k.leftBehind(l) })
			if output.heal != nil {
				k.logResumes(output)
			}
			k.ends()
		})
	}
}

// loggingKeyward is a Keyward with TLS on each listener.
type loggingKeyward struct {
	t      *testing.T
	dir    string
	ports  stack.Ports
	ca     authority
	key    string
	cmd    *exec.Cmd
	exited chan error
	log    *os.File
}

// descriptors is the limit of open files, which is enough if none leaks.
const descriptors = 600

func startLogging(t *testing.T, output logOutput) *loggingKeyward {
	t.Helper()
	dir := t.TempDir()
	k := &loggingKeyward{t: t, dir: dir, ca: newAuthority(t, dir, "tester"), exited: make(chan error, 1)}
	server := k.ca.issue(t, dir, "localhost")
	var err error
	if k.ports, err = stack.FreePorts(); err != nil {
		t.Fatal(err)
	}
	tls := fmt.Sprintf("{cert_file: %q, key_file: %q}", server.cert, server.key)
	text := fmt.Sprintf("listen: {grpc: %q, http: %q, admin: %q}\ntls: {grpc: %s, http: %s, admin: %s}\nkeys: {file: keys.jsonl}\nlog: {denials_per_second: 1000000}\n",
		stack.Address(k.ports.GRPC), stack.Address(k.ports.HTTP), stack.Address(k.ports.Admin), tls, tls, tls)
	if err := os.WriteFile(filepath.Join(dir, "keyward.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	create := exec.Command(programs.keyward, "key", "create", "--name", "good", "--file", "keys.jsonl")
	create.Dir = dir
	printed, err := create.Output()
	if err != nil {
		t.Fatal(err)
	}
	k.key = strings.TrimSpace(string(printed))
	out, reader := output.open(t, dir)
	defer out.Close()
	k.log = reader
	k.cmd = exec.Command("sh", "-c", fmt.Sprintf("ulimit -n %d; %s", descriptors, output.shell), programs.keyward, "serve", "--config", "keyward.yaml")
	k.cmd.Dir, k.cmd.Stdout, k.cmd.Stderr = dir, out, out
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { k.exited <- k.cmd.Wait() }()
	t.Cleanup(func() { _ = k.cmd.Process.Kill() })
	k.eventually(func() error { return k.atLeast("keyward_ready", 1) })
	return k
}

func (k *loggingKeyward) eventually(check func() error) {
	k.t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// atLeast returns an error if the metric is less.
func (k *loggingKeyward) atLeast(metric string, want float64) error {
	got, err := k.metric(metric)
	if err == nil && got < want {
		err = fmt.Errorf("%s is %g, want at least %g", metric, got, want)
	}
	return err
}

// leftBehind returns an error if failed handshakes were not counted, or leaked
// something.
func (k *loggingKeyward) leftBehind(l *logLoad) error {
	for listener, made := range l.handshakes {
		metric := fmt.Sprintf("keyward_tls_handshake_failures_total{listener=%q}", listener)
		if counted, err := k.metric(metric); err != nil || counted != float64(made.Load()) {
			return fmt.Errorf("%s is %g, want %d; %v", metric, counted, made.Load(), err)
		}
	}
	for _, metric := range []string{"process_open_fds", "go_goroutines"} {
		if now, err := k.metric(metric); err != nil || now > 250 { // 128 goroutines answer calls
			return fmt.Errorf("%s is %g; %v", metric, now, err)
		}
	}
	return nil
}

// logResumes reads the log, every line of which must be complete, up to one
// about a new request. All drops must be reported in it.
func (k *loggingKeyward) logResumes(output logOutput) {
	k.t.Helper()
	dropped, err := k.metric("keyward_log_dropped_lines_total")
	if err != nil {
		k.t.Fatal(err)
	}
	output.heal(k.t, k.cmd.Process.Pid)
	lines := make(chan string)
	go readLines(k.log, lines)
	const now = "/the-log-is-read-again"
	reported, asked := 0.0, false
	deadline := time.After(90 * time.Second)
	for {
		select {
		case <-deadline:
			k.t.Fatalf("%g of %g drops reported, and no line about a new request", reported, dropped)
		case text := <-lines:
			var line struct {
				Msg, Path string
				Count     float64
			}
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				k.t.Fatalf("torn line %q: %v", text, err)
			}
			if strings.HasPrefix(line.Msg, "log lines dropped") {
				reported += line.Count
			}
			if reported == dropped && !asked {
				asked = true
				go k.denied(now)
			}
			if line.Path == now {
				return
			}
		}
	}
}

// readLines sends the existing lines and new ones; it does not stop at the end
// of the file.
func readLines(from *os.File, lines chan<- string) {
	reader, line := bufio.NewReader(from), ""
	for {
		part, err := reader.ReadString('\n')
		line += part
		switch {
		case err == nil:
			lines <- line
			line = ""
		case errors.Is(err, io.EOF):
			time.Sleep(10 * time.Millisecond)
		default:
			return
		}
	}
}

// ends stops the program as Kubernetes does.
func (k *loggingKeyward) ends() {
	k.t.Helper()
	if err := k.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		k.t.Fatal(err)
	}
	select {
	case err := <-k.exited:
		if err != nil {
			k.t.Errorf("the process ended with: %v", err)
		}
	case <-time.After(30 * time.Second):
		k.t.Error("the process did not end")
	}
}
