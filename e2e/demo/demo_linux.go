package main

import "golang.org/x/sys/unix"

// dieWithParent makes the kernel send this process SIGTERM when make is killed,
// so that no process keeps running without a terminal.
func dieWithParent() error {
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0)
}
