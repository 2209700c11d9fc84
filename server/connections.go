package server

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"keyward/authz"
)

// The maximum number of connections of a listener. A proxy keeps a few per thread:
// this is enough for a thousand proxies of eight threads, and for many Prometheus
// servers.
const (
	maxConnections      = 10_000
	maxAdminConnections = 256
)

// userTimeout is how long a TCP client may leave unread what was sent to it.
const userTimeout = 20 * time.Second

// connectionsOf returns how many connections the listener may have. It is fewer
// than the maximum if the process may not open as many files. All listeners
// together leave some for the other files that the process opens.
func connectionsOf(name string) int {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil {
		files.Cur = 1024
	}
	return shareOf(name, uint64(files.Cur))
}

func shareOf(name string, files uint64) int {
	const maxFiles = 1 << 20 // Cur may be RLIM_INFINITY
	share := int(min(files, maxFiles)) / 20
	if name == listenerAdmin || name == listenerConsole || name == listenerIssuer {
		return min(maxAdminConnections, 2*share)
	}
	return min(maxConnections, 7*share)
}

// boundedListener accepts a limited number of connections at a time. It closes
// further ones at once, which a proxy notices faster than a connection that is not
// answered. No address has more than half of them, so that a client that keeps
// many does not exclude the others.
type boundedListener struct {
	net.Listener
	limit    int
	rejected func(conn net.Conn, why string)
	// hosts counts the addresses of an IPv6 /64 as one: a single host may take any of
	// them. Proxies may be many in one network.
	hosts bool

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
		if l.hosts {
			client = authz.ParseAddress(client.String()).Client().Addr()
		}
		if why := l.acquire(client); why != "" {
			l.rejected(conn, why)
			_ = conn.Close()
			continue
		}
		setUserTimeout(conn)
		return &boundedConn{Conn: conn, release: sync.OnceFunc(func() { l.release(client) })}, nil
	}
}

// acquire counts another connection. It returns why there may not be one, or "".
func (l *boundedListener) acquire(client netip.Addr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.open >= l.limit:
		return "the listener has its maximum number of connections"
	case client.IsValid() && l.of[client] >= (l.limit+1)/2:
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

func (l *boundedListener) release(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.of[client] > 1 {
		l.of[client]--
	} else {
		delete(l.of, client)
	}
}

// addressOf returns the client's address; the zero Addr if it has none, as on a
// Unix socket.
func addressOf(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

type boundedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
