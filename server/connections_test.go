package server

import (
	"net"
	"net/netip"
	"testing"
)

// fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

// RemoteAddr implements net.Conn.
func (c *fakeConn) RemoteAddr() net.Addr {
	if c.from == "" {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}

// Close implements net.Conn.
func (c *fakeConn) Close() error { c.closed = true; return nil }

// fakeListener has connections that came in already.
type fakeListener struct {
	net.Listener
	waiting []*fakeConn
}

// Accept implements net.Listener.
func (l *fakeListener) Accept() (net.Conn, error) {
	if len(l.waiting) == 0 {
		return nil, net.ErrClosed
	}
	next := l.waiting[0]
	l.waiting = l.waiting[1:]
	return next, nil
}

// bounding is a listener of that many connections, and what comes to it.
type bounding struct {
	*boundedListener
	from     *fakeListener
	rejected int
}

func newBounding(limit int) *bounding {
	b := &bounding{from: &fakeListener{}}
	b.boundedListener = &boundedListener{Listener: b.from, limit: limit, rejected: func(net.Conn, string) { b.rejected++ }}
	return b
}

// connect returns the connection as it was accepted; nil is that it was closed.
func (b *bounding) connect(t *testing.T, from string) net.Conn {
	t.Helper()
	client := &fakeConn{from: from}
	b.from.waiting = append(b.from.waiting, client)
	conn, err := b.Accept()
	if (err != nil) != client.closed {
		t.Fatalf("closed: %v, and %v", client.closed, err)
	}
	return conn
}

// TestConnectionsAreBounded: in all, and for one address, however it is spelled.
func TestConnectionsAreBounded(t *testing.T) {
	b := newBounding(6)
	for _, from := range []string{"192.0.2.1:1", "192.0.2.1:2", "[::ffff:192.0.2.1]:3"} {
		if b.connect(t, from) == nil {
			t.Fatalf("%s is closed", from)
		}
	}
	if b.connect(t, "192.0.2.1:4") != nil {
		t.Error("an address has more than half")
	}
	others := []net.Conn{b.connect(t, "192.0.2.2:1"), b.connect(t, ""), b.connect(t, "")}
	if b.connect(t, "192.0.2.3:1") != nil || b.rejected != 2 {
		t.Errorf("one more than there may be was taken; %d were rejected", b.rejected)
	}
	for range 2 { // closed twice, gone once
		_ = others[0].Close()
	}
	if b.connect(t, "192.0.2.3:1") == nil || b.connect(t, "192.0.2.4:1") != nil {
		t.Error("a closed connection makes room for one")
	}
}

// TestConnectionsOfHosts: an IPv6 /64 has the share of one address where hosts connect,
// and not where proxies do.
func TestConnectionsOfHosts(t *testing.T) {
	for _, hosts := range []bool{true, false} {
		b := newBounding(4)
		b.hosts = hosts
		for _, from := range []string{"[2001:db8::1]:1", "[2001:db8::2]:1"} {
			if b.connect(t, from) == nil {
				t.Fatalf("%s is closed", from)
			}
		}
		if (b.connect(t, "[2001:db8::3]:1") == nil) != hosts {
			t.Errorf("hosts: %t, and the third of a /64", hosts)
		}
		if b.connect(t, "[2001:db8:0:1::1]:1") == nil {
			t.Errorf("hosts: %t, and another /64 is closed", hosts)
		}
	}
}

// TestUnixSocketIsNoAddress: the proxy beside us may have all connections of its socket.
func TestUnixSocketIsNoAddress(t *testing.T) {
	b := newBounding(3)
	for range 3 {
		if b.connect(t, "") == nil {
			t.Fatal("closed")
		}
	}
}

// TestSharesOfDescriptors: the listeners leave descriptors for files, and have
// what they need where there are many.
func TestSharesOfDescriptors(t *testing.T) {
	for files, want := range map[uint64][3]int{
		600: {210, 210, 60}, 1024: {357, 357, 102}, 1 << 20: {maxConnections, maxConnections, maxAdminConnections}, ^uint64(0): {maxConnections, maxConnections, maxAdminConnections},
	} {
		got := [3]int{shareOf(listenerGRPC, files), shareOf(listenerHTTP, files), shareOf(listenerAdmin, files)}
		if got != want || uint64(got[0]+got[1]+got[2]) > files/5*4 {
			t.Errorf("of %d files %v, want %v", files, got, want)
		}
	}
}
