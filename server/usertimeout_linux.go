package server

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout bounds how long the kernel keeps what a client does not
// acknowledge, or has no room for, before it ends the connection (tcp(7),
// TCP_USER_TIMEOUT). Accepted connections inherit it.
func setUserTimeout(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		// Without it a connection waits longer, which is no reason not to listen.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
	})
}
