package server

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUserTimeout: the kernel ends an accepted connection of which the client
// reads nothing.
func TestUserTimeout(t *testing.T) {
	l, err := listen("http", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	bounded := &boundedListener{Listener: l, limit: 2}
	conn, err := bounded.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*boundedConn).Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var set int
	var failed error
	if err := raw.Control(func(fd uintptr) {
		set, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}); err != nil || failed != nil || int64(set) != userTimeout.Milliseconds() {
		t.Errorf("TCP_USER_TIMEOUT is %d ms, want %d; %v", set, userTimeout.Milliseconds(), failed)
	}
}
