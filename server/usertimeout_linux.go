package server

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout bounds how long the kernel keeps data that a client does not
// acknowledge, or has no window for, before it ends the connection (tcp(7),
// TCP_USER_TIMEOUT). It is set per connection, since a connection of a listener that
// can use MPTCP does not inherit it.
func setUserTimeout(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		// Without the option a client that reads nothing is kept for longer.
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
		})
	}
}
