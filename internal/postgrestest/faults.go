package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// Faults cuts a connection at one of the messages that the program sends. Its Dial is
// that of a database.Config.
type Faults struct {
	At         int  // the message, from 1 on
	AnswerLost bool // the message arrives, and its answer does not; false: the message does not
	Then       bool // no connection is made after that

	mu   sync.Mutex
	sent int
	cut  []byte // the message; nil: none was cut yet
}

// Cut returns the message at which a connection was cut; nil if none was.
func (f *Faults) Cut() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut
}

// Dial connects.
func (f *Faults) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if f.Then && f.Cut() != nil {
		return nil, errors.New("refused")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	return &cutConn{Conn: conn, faults: f}, err
}

// send counts the message, and reports whether it is the one to cut at.
func (f *Faults) send(message []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sent++; f.sent != f.At {
		return false
	}
	f.cut = bytes.Clone(message)
	return true
}

type cutConn struct {
	net.Conn
	faults *Faults
	mu     sync.Mutex
	lost   bool // the next answer
}

func (c *cutConn) Write(message []byte) (int, error) {
	switch {
	case !c.faults.send(message):
	case c.faults.AnswerLost:
		c.mu.Lock()
		c.lost = true
		c.mu.Unlock()
	default:
		_ = c.Close()
		return 0, io.ErrClosedPipe
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
