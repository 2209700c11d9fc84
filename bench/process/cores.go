package process

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// The measurements need two cores: the first is the server's, the second the
// client's.
const (
	serverCore = "0"
	AllCores   = "0-1"
)

// Command returns a command on that number of cores, which is killed when this
// process ends.
func Command(procs int, args ...string) *exec.Cmd {
	cores := serverCore // so that the runtime's own threads use that one core too
	if procs > 1 {
		cores = AllCores // even if this process is bound to one
	}
	args = append([]string{"-c", cores}, args...)
	cmd := exec.Command("taskset", args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(procs))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Pin binds this process to one core, which the server does not use.
func Pin(core int) error { return taskset(strconv.Itoa(core)) }

// Unpin lets this process use all cores again.
func Unpin() error { return taskset(AllCores) }

func taskset(cores string) error {
	return exec.Command("taskset", "-a", "-p", "-c", cores, strconv.Itoa(os.Getpid())).Run()
}
