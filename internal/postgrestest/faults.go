package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// Faults cuts connections at one of the messages that the program sends.
type Faults struct {
	At         int  // the message, from 1 on
	AnswerLost bool // the message arrives, and its answer does not; false: the message does not
	Then       bool // no connection is made after that

	mu    sync.Mutex
	sent  int
	fired bool
	of    []byte // the message
}

// Fired reports whether the message was sent, and returns it.
func (f *Faults) Fired() (message []byte, fired bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of, f.fired
}

// Dial makes connections; see database.Config.
func (f *Faults) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if _, fired := f.Fired(); fired && f.Then {
		return nil, errors.New("refused")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	return &cutConn{Conn: conn, faults: f}, err
}

type cutConn struct {
	net.Conn
	faults *Faults
	mu     sync.Mutex
	lost   bool // the next answer
}

func (c *cutConn) Write(message []byte) (int, error) {
	f := c.faults
	f.mu.Lock()
	f.sent++
	fire := f.sent == f.At
	if fire {
		f.fired, f.of = true, bytes.Clone(message)
	}
	f.mu.Unlock()
	switch {
	case fire && !f.AnswerLost:
		_ = c.Close()
		return 0, io.ErrClosedPipe
	case fire:
		c.mu.Lock()
		c.lost = true
		c.mu.Unlock()
	}
	return c.Conn.Write(message)
}

func (c *cutConn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}
