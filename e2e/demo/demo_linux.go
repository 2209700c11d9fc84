package main

import "golang.org/x/sys/unix"

// dieWithParent has the kernel send us SIGTERM when make is killed, so that
// nothing keeps running that no terminal can reach.
func dieWithParent() error {
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0)
}
