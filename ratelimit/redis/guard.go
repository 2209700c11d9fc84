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

// guard opens the connections of a store. What comes in on them is followed
// before the library reads it: there it could end the process, since goroutines
// of the library's own read it, whose panics nothing here can recover.
type guard struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	bounds bounds
	// large is held by the one connection whose answer may be a large one at a
	// time. An answer takes many times its size in memory.
	large chan struct{}
	hops  redirections
}

// Of large answers.
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

// open is the library's Dialer.
func (g *guard) open(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := g.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &guarded{Conn: conn, guard: g, answers: replyReader{bounds: g.bounds, redirected: g.hops.redirected}}
	if raw, ok := conn.(syscall.Conn); ok {
		return &guardedSocket{c, raw}, nil
	}
	return c, nil
}

// guarded is a connection that fails for good at the first answer that is out of bounds.
type guarded struct {
	net.Conn
	guard   *guard
	answers replyReader

	mu     sync.Mutex // of what Close shares with Read
	large  bool       // it holds guard.large
	closed bool
	failed error // of Read alone
}

// guardedSocket lets the library look whether a connection that it kept is still alive.
type guardedSocket struct {
	*guarded
	syscall.Conn
}

// Read implements net.Conn. Nothing of what is out of bounds is handed on.
func (c *guarded) Read(p []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	n, err := c.Conn.Read(p)
	if foreign := c.follow(p[:n]); foreign != nil {
		c.failed = foreign
		_ = c.Close()
		return 0, foreign
	}
	return n, err
}

// follow follows what was read, in parts that keep a large answer from coming
// in unnoticed beside others.
func (c *guarded) follow(data []byte) error {
	for len(data) > 0 {
		part := data[:min(len(data), largeFrom)]
		if err := c.answers.read(part); err != nil {
			return err
		}
		if err := c.hold(c.answers.size > largeFrom); err != nil {
			return err
		}
		data = data[len(part):]
	}
	return nil
}

var errBusy = errors.New("redis: several large answers at once")

// hold takes or gives back the place of the one large answer.
func (c *guarded) hold(isLarge bool) error {
	c.mu.Lock()
	holds, closed := c.large, c.closed
	c.mu.Unlock()
	switch {
	case holds == isLarge:
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

// redirections bounds the servers of a cluster that redirections lead to: the
// library keeps state for each.
type redirections struct {
	mu    sync.Mutex
	seen  map[string]struct{}
	since time.Time
}

// maxRedirections is how many addresses there may be in redirectionsFor: more than the largest clusters have.
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
