// Package latencyproxy is a TCP proxy that delays the replies of a server, or forwards
// nothing, for tests of timeouts.
package latencyproxy

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy forwards connections to a server.
type Proxy struct {
	listener net.Listener
	to       string
	delay    atomic.Int64
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	closed bool
	open   chan struct{} // is closed while bytes are forwarded
}

// Open listens on a loopback port and forwards its connections to the address.
func Open(to string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Proxy{listener: listener, to: to, open: make(chan struct{})}
	close(l.open)
	l.running.Go(l.serve)
	return l, nil
}

// Close ends all connections.
func (l *Proxy) Close() error {
	err := l.listener.Close()
	l.Blackhole(false)
	l.mu.Lock()
	l.closed = true
	for _, conn := range l.conns {
		_ = conn.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
	return err
}

// Address returns the address on which it listens.
func (l *Proxy) Address() string { return l.listener.Addr().String() }

// Delay sets the delay of each reply from now on.
func (l *Proxy) Delay(d time.Duration) { l.delay.Store(int64(d)) }

// Blackhole has no byte forwarded from now on, in either direction and by no connection,
// and none closed; or ends that. What was sent meanwhile arrives then.
func (l *Proxy) Blackhole(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		if on {
			l.open = make(chan struct{})
		}
	default:
		if !on {
			close(l.open)
		}
	}
}

// pass waits until bytes are forwarded.
func (l *Proxy) pass() {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	<-open
}

// add reports whether the connections are to be served: not after Close.
func (l *Proxy) add(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, conns...)
	return !l.closed
}

func (l *Proxy) serve() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		if !l.add(near, far) {
			_, _ = near.Close(), far.Close()
			return
		}
		l.running.Go(func() { l.copy(far, near, false) })
		l.running.Go(func() { l.copy(near, far, true) })
	}
}

func (l *Proxy) copy(to, from net.Conn, slowly bool) {
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		l.pass() // the end of a connection is not forwarded either
		if err != nil {
			return
		}
		if slowly {
			time.Sleep(time.Duration(l.delay.Load()))
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
