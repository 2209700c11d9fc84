package stack

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Process is a child process with its output in a file. It leads its own
// process group, so that its parent decides whether to pass on a Ctrl-C at the
// terminal, and it does not outlive its parent.
type Process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // how it ended; to be read after exited is closed
}

// stopGrace is how long a child has to end after SIGTERM before it is killed.
const stopGrace = 10 * time.Second

// startProcess runs a command in the directory, with its output appended to
// NAME.log there.
func startProcess(name, dir string, argv ...string) (*Process, error) {
	return startWith(nil, name, dir, argv...)
}

// startWith is startProcess with variables in addition to this process's.
func startWith(env []string, name, dir string, argv ...string) (*Process, error) {
	p := &Process{name: name, log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = childAttributes()
	started := make(chan error)
	go func() {
		// The kernel ends the child when the thread that started it ends, not
		// the process. This thread therefore stays until the child has ended.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process and its children.
func (p *Process) Signal(s syscall.Signal) error {
	select {
	case <-p.exited:
		return os.ErrProcessDone // its number may be reused by now
	default:
		return syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

// Stop ends the process, by force if necessary, and waits for it.
func (p *Process) Stop() {
	_ = p.Signal(syscall.SIGTERM)
	_ = p.Signal(syscall.SIGCONT) // a stopped process would not receive the signal
	select {
	case <-p.exited:
	case <-time.After(stopGrace):
	}
	p.Kill()
}

// Kill kills the process and waits for it.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.exited
}

// Log returns what the process has printed so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// fault returns an error that says how the process ended, with its last lines
// of output.
func (p *Process) fault(what string) error {
	const lines = 20
	tail := bytes.Split(bytes.TrimSpace([]byte(p.Log())), []byte("\n"))
	if len(tail) > lines {
		tail = tail[len(tail)-lines:]
	}
	return fmt.Errorf("%s %s; the end of %s:\n%s", p.name, what, p.log, bytes.Join(tail, []byte("\n")))
}
