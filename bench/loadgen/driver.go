// Package loadgen is the client's side of the benchmark: it sends checks as a
// proxy does, counts the replies and measures their times. Client uses gRPC's
// library, Driver writes HTTP/2 frames itself, SaturateHTTP asks as nginx does.
package loadgen

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Driver sends checks over HTTP/2 at a fraction of the cost of a client
// library, so that one core of client saturates one core of server. It writes
// frames that were encoded in advance, and reads only the part of a reply that
// distinguishes allow from deny. Any reply other than the expected one is a
// failure.
type Driver struct {
	Address string // host:port, or unix:///path
	Ask     func() Request
	GRPC    bool // the verdict is in a CheckResponse, otherwise it is the status
	Conns   int
	Streams int // in flight on each connection
	Rate    int // requests per second over all connections; 0 means as many as are answered
	Span    time.Duration
	Stop    <-chan struct{} // closing it ends the run early; nil: never
	Lenient bool            // count failures and continue, instead of ending the run
}

func (d Driver) stopped() bool {
	select {
	case <-d.Stop:
		return true
	default:
		return false
	}
}

// Run sends the load and waits for its end. It returns the answers of all
// connections, and their errors joined.
func (d Driver) Run() (*Answers, error) {
	var mu sync.Mutex
	var failed error
	all := &Answers{}
	var wg sync.WaitGroup
	start := time.Now()
	for range d.Conns {
		wg.Go(func() {
			l, err := d.drive(start)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			if l != nil {
				all.Merge(&l.done)
				all.Failed += l.failed
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return nil, failed
	}
	all.Took = time.Since(start)
	return all, nil
}

// h2Conn is one connection. Stream n is at index n/2 modulo the size of the
// ring.
type h2Conn struct {
	Driver
	conn    net.Conn
	out     *bufio.Writer
	in      *bufio.Reader
	frames  *http2.Framer
	encoder *hpack.Encoder
	block   []byte // what the encoder wrote
	next    uint32 // stream
	open    int
	due     time.Time // of the next request at a given rate
	ring    [ringSize]pending
	credit  int // bytes read that the peer has not been credited yet
	done    Histogram
	failed  int
}

type pending struct {
	asked         time.Time
	want, verdict Verdict
}

const (
	ringSize = 4096
	window   = 1 << 30
)

// Write takes the header encoder's output.
func (l *h2Conn) Write(p []byte) (int, error) {
	l.block = append(l.block, p...)
	return len(p), nil
}

// drive runs one connection.
func (d Driver) drive(start time.Time) (*h2Conn, error) {
	l, err := d.connect()
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.conn.Close() }()
	l.due = start
	end := start.Add(d.Span)
	for now := start; now.Before(end) || l.open > 0; now = time.Now() {
		if d.stopped() {
			end = now
		}
		if err := l.askDue(now, end); err != nil {
			return l, err
		}
		if err := l.readOne(); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (d Driver) connect() (*h2Conn, error) {
	conn, err := dialAddress(d.Address)
	if err != nil {
		return nil, err
	}
	l := &h2Conn{Driver: d, conn: conn, out: bufio.NewWriterSize(conn, 64<<10), in: bufio.NewReaderSize(conn, 64<<10), next: 1}
	l.frames, l.encoder = http2.NewFramer(l.out, l.in), hpack.NewEncoder(l)
	l.frames.SetReuseFrames()
	_, _ = l.out.WriteString(http2.ClientPreface)
	if err := errors.Join(
		l.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}, http2.Setting{ID: http2.SettingEnablePush, Val: 0}),
		l.frames.WriteWindowUpdate(0, window), l.out.Flush()); err != nil {
		return nil, err
	}
	return l, nil
}

// askDue sends the requests that are due: at a given rate those whose time has
// come, otherwise as many as may be in flight.
func (l *h2Conn) askDue(now, end time.Time) error {
	for l.open < l.Streams && now.Before(end) {
		asked := now
		if l.Rate > 0 {
			if l.due.After(now) {
				break
			}
			// Measured from when it was due, so that a stall is not hidden by
			// the requests that it delayed.
			asked = l.due
			l.due = l.due.Add(time.Second * time.Duration(l.Conns) / time.Duration(l.Rate))
		}
		if err := l.write(l.Ask(), asked); err != nil {
			return err
		}
	}
	if l.in.Buffered() == 0 {
		return l.out.Flush()
	}
	return nil
}

func (l *h2Conn) write(q Request, asked time.Time) error {
	l.block = l.block[:0]
	for _, f := range q.Fields {
		if err := l.encoder.WriteField(f); err != nil {
			return err
		}
	}
	stream := l.next
	l.next += 2
	l.ring[stream/2%ringSize] = pending{asked: asked, want: q.Want}
	l.open++
	err := l.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: l.block, EndHeaders: true, EndStream: q.Body == nil})
	if err == nil && q.Body != nil {
		err = l.frames.WriteData(stream, true, q.Body)
	}
	return err
}

// readOne reads a frame. At a given rate it waits at most until the next
// request is due.
func (l *h2Conn) readOne() error {
	if l.Rate > 0 && l.in.Buffered() == 0 {
		if err := l.conn.SetReadDeadline(time.Now().Add(min(max(time.Until(l.due), 50*time.Microsecond), time.Second))); err != nil {
			return err
		}
		if _, err := l.in.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err := l.conn.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
	}
	frame, err := l.frames.ReadFrame()
	if err != nil {
		return err
	}
	switch f := frame.(type) {
	case *http2.HeadersFrame:
		return l.headers(f)
	case *http2.DataFrame:
		return l.data(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			return l.frames.WritePing(true, f.Data)
		}
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return l.frames.WriteSettingsAck()
		}
	case *http2.RSTStreamFrame: // for example after the call's timeout
		return l.end(&l.ring[f.StreamID/2%ringSize])
	case *http2.GoAwayFrame:
		return fmt.Errorf("the server ended a connection: %v", f)
	}
	return nil
}

// headers takes the verdict from the status of a proxy's response.
func (l *h2Conn) headers(f *http2.HeadersFrame) error {
	p := &l.ring[f.StreamID/2%ringSize]
	if block := f.HeaderBlockFragment(); !l.GRPC && len(block) > 0 && p.verdict == None {
		// :status comes first, and 200 has its own entry in HPACK's static
		// table.
		const indexedStatus200 = 0x88
		p.verdict = Deny
		if block[0] == indexedStatus200 {
			p.verdict = Allow
		}
	}
	if f.StreamEnded() {
		return l.end(p)
	}
	return nil
}

// data takes the verdict from a CheckResponse.
func (l *h2Conn) data(f *http2.DataFrame) error {
	l.credit += len(f.Data())
	if l.credit > window/2 {
		if err := l.frames.WriteWindowUpdate(0, uint32(l.credit)); err != nil {
			return err
		}
		l.credit = 0
	}
	p := &l.ring[f.StreamID/2%ringSize]
	const grpcPrefix = 5
	if l.GRPC && len(f.Data()) > grpcPrefix {
		p.verdict = verdictOf(f.Data()[grpcPrefix:])
	}
	if f.StreamEnded() {
		return l.end(p)
	}
	return nil
}

func (l *h2Conn) end(p *pending) error {
	switch {
	case p.asked.IsZero(): // it has ended already
		return nil
	case p.verdict == p.want:
		l.done.add(time.Since(p.asked))
	case l.Lenient:
		l.failed++
	default:
		return fmt.Errorf("after %s a reply was %q, want %q", time.Since(p.asked), p.verdict, p.want)
	}
	*p = pending{}
	l.open--
	return nil
}

func dialAddress(address string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		return net.Dial("unix", path)
	}
	return net.Dial("tcp", address)
}
