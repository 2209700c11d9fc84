package server

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// A listener's connections. A proxy keeps a few for each of its threads: this is
// enough for a thousand of them with eight threads, and for many Prometheuses.
const (
	maxConnections      = 10_000
	maxAdminConnections = 256
)

// userTimeout is how long a TCP client may leave unread what was sent to it.
const userTimeout = 20 * time.Second

// connectionsOf returns how many connections the listener may have: fewer than
// it would have otherwise where the process may not open as many files. All
// listeners together leave some for all else that the process opens.
func connectionsOf(name string) int {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil {
		files.Cur = 1024
	}
	return shareOf(name, uint64(files.Cur))
}

func shareOf(name string, files uint64) int {
	const most = 1 << 20 // Cur may be RLIM_INFINITY
	share := int(min(files, most)) / 20
	if name == listenerAdmin {
		return min(maxAdminConnections, 2*share)
	}
	return min(maxConnections, 7*share)
}

// boundedListener accepts a number of connections at a time. Those beyond are
// closed at once, which a proxy notices faster than a connection that is not
// answered. No address has more than half of them, so that one client that keeps
// many does not keep others out.
type boundedListener struct {
	net.Listener
	most     int
	rejected func(conn net.Conn, why string)

	mu   sync.Mutex
	open int
	of   map[netip.Addr]int
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client := addressOf(conn)
		if why := l.enter(client); why != "" {
			l.rejected(conn, why)
			_ = conn.Close()
			continue
		}
		setUserTimeout(conn)
		return &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(client) })}, nil
	}
}

// enter returns why there may not be another connection; "" is that there may.
func (l *boundedListener) enter(client netip.Addr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.open >= l.most:
		return "the listener has its maximum number of connections"
	case client.IsValid() && l.of[client] >= (l.most+1)/2:
		return "the address has its maximum, half of the listener's connections"
	}
	l.open++
	if client.IsValid() {
		if l.of == nil {
			l.of = map[netip.Addr]int{}
		}
		l.of[client]++
	}
	return ""
}

func (l *boundedListener) leave(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.of[client] > 1 {
		l.of[client]--
	} else {
		delete(l.of, client)
	}
}

// addressOf is the client's address; the zero Addr where it has none, as on a Unix socket.
func addressOf(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
