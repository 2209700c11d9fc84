package stack

import "syscall"

// childAttributes puts a child into a group of its own, and has the kernel end
// it should we be killed without a chance to.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
