package stack

import "syscall"

// childAttributes puts a child into its own process group, and makes the kernel
// end it if its parent is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
