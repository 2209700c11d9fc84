// Package latencyproxy is a TCP proxy that delays the replies of a server, for
// tests of timeouts.
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

	mu    sync.Mutex
	conns []net.Conn
}

// Open listens on a loopback port and forwards its connections to the address.
func Open(to string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Proxy{listener: listener, to: to}
	l.running.Go(l.serve)
	return l, nil
}

// Close ends all connections.
func (l *Proxy) Close() error {
	err := l.listener.Close()
	l.mu.Lock()
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
		l.mu.Lock()
		l.conns = append(l.conns, near, far)
		l.mu.Unlock()
		l.running.Go(func() { l.copy(far, near, false) })
		l.running.Go(func() { l.copy(near, far, true) })
	}
}

func (l *Proxy) copy(to, from net.Conn, slowly bool) {
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
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
