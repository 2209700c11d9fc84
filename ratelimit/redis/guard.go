package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// guard opens the connections of a store. It checks what arrives before the
// library reads it. A malformed reply could end the process there: the library
// reads it in goroutines of its own, whose panics this package cannot recover.
type guard struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	bounds bounds
	// large is held by the one connection that may receive a large reply at the
	// moment. A reply takes many times its size in memory.
	large chan struct{}
	hops  redirections
}

// Limits of large replies.
const (
	largeFrom = 16 << 10 // bytes
	largeWait = time.Second
)

func newGuard(secure *tls.Config, within bounds) *guard {
	dialer := &net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	g := &guard{dial: dialer.DialContext, bounds: within, large: make(chan struct{}, 1)}
	if secure != nil {
		g.dial = (&tls.Dialer{NetDialer: dialer, Config: secure}).DialContext
	}
	return g
}

// open implements the library's Dialer.
func (g *guard) open(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := g.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &guarded{Conn: conn, guard: g, replies: replyReader{bounds: g.bounds, redirected: g.hops.redirected}}
	if raw, ok := conn.(syscall.Conn); ok {
		return &guardedSocket{c, raw}, nil
	}
	return c, nil
}

// guarded is a connection that fails permanently at the first reply that is out
// of bounds.
type guarded struct {
	net.Conn
	guard   *guard
	replies replyReader

	mu     sync.Mutex // protects what Close shares with Read
	large  bool       // it holds guard.large
	closed bool
	failed error // used by Read only
}

// guardedSocket lets the library check whether an idle connection is still
// alive.
type guardedSocket struct {
	*guarded
	syscall.Conn
}

// Read implements net.Conn. It returns no data that is out of bounds.
func (c *guarded) Read(p []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	n, err := c.Conn.Read(p)
	if invalid := c.follow(p[:n]); invalid != nil {
		c.failed = invalid
		_ = c.Close()
		return 0, invalid
	}
	return n, err
}

// follow checks what was read, in parts small enough that a large reply among
// others is noticed.
func (c *guarded) follow(data []byte) error {
	for len(data) > 0 {
		part := data[:min(len(data), largeFrom)]
		if err := c.replies.read(part); err != nil {
			return err
		}
		if err := c.setLarge(c.replies.size > largeFrom); err != nil {
			return err
		}
		data = data[len(part):]
	}
	return nil
}

var errBusy = errors.New("redis: several large replies at once")

// setLarge acquires or releases the slot of the one large reply.
func (c *guarded) setLarge(isLarge bool) error {
	c.mu.Lock()
	isHeld, closed := c.large, c.closed
	c.mu.Unlock()
	switch {
	case isHeld == isLarge:
		return nil
	case !isLarge:
		c.release()
		return nil
	case closed:
		return net.ErrClosed
	}
	timer := time.NewTimer(largeWait)
	defer timer.Stop()
	select {
	case c.guard.large <- struct{}{}:
	case <-timer.C:
		return errBusy
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		<-c.guard.large
		return net.ErrClosed
	}
	c.large = true
	return nil
}

func (c *guarded) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.large {
		c.large = false
		<-c.guard.large
	}
}

// Close implements net.Conn.
func (c *guarded) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.release()
	return c.Conn.Close()
}

// redirections bounds the number of servers that a cluster's redirections name,
// because the library keeps state for each.
type redirections struct {
	mu    sync.Mutex
	seen  map[string]struct{}
	since time.Time
}

// maxRedirections is the maximum number of addresses within redirectionsFor.
// The largest clusters have fewer.
const (
	maxRedirections = 2000
	redirectionsFor = time.Minute
)

func (r *redirections) redirected(address string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); r.seen == nil || now.Sub(r.since) >= redirectionsFor {
		r.seen, r.since = map[string]struct{}{}, now
	}
	if _, known := r.seen[address]; !known && len(r.seen) >= maxRedirections {
		return errNotRESP
	}
	r.seen[address] = struct{}{}
	return nil
}
