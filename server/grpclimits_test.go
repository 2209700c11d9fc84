package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keyward/extauthz"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// pipes is a listener in memory, on which time can be a test's own.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

// connect returns the client's side of a new connection.
func (p *pipes) connect() net.Conn {
	near, far := net.Pipe()
	p.conns <- far
	return near
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// grpcOnPipes serves as the gRPC listener does, and returns what makes connections to it.
func grpcOnPipes(t *testing.T) func() net.Conn {
	t.Helper()
	s := &Server{logger: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry()}
	if err := s.registerListenerMetrics(); err != nil {
		t.Fatal(err)
	}
	handler := new(extauthz.Handler) // which judges nothing: no call gets so far
	s.handler = func() *extauthz.Handler { return handler }
	l, at := s.grpcListener(nil), newPipes()
	t.Cleanup(serveOn(l, at))
	return at.connect
}

// serveOn serves, and returns what ends that at once.
func serveOn(l *listener, at *pipes) (stop func()) {
	var serving sync.WaitGroup
	serving.Go(func() { _ = l.serve(at) })
	return func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		l.shutdown(ctx)
		serving.Wait()
	}
}

// rawClient is the client's side of an HTTP/2 connection, one frame at a time.
type rawClient struct {
	t      *testing.T
	conn   net.Conn
	frames *http2.Framer
	mu     sync.Mutex // of writes: pings are answered meanwhile
	events chan frame // headers that end a stream, and RST_STREAM; closed with the connection
}

func newRawClient(t *testing.T, conn net.Conn, settings ...http2.Setting) *rawClient {
	t.Helper()
	c := &rawClient{t: t, conn: conn, frames: http2.NewFramer(conn, conn), events: make(chan frame, 10_000)}
	// The server sends its settings at once. The acknowledgement of them must not
	// be written before this client's preface and settings.
	greet := func(f *http2.Framer) error {
		go c.read()
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			return err
		}
		return f.WriteSettings(settings...)
	}
	if err := c.write(greet); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *rawClient) write(what func(*http2.Framer) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return what(c.frames)
}

// read acknowledges what has to be, and reports the ends of streams.
func (c *rawClient) read() {
	defer close(c.events)
	for {
		f, err := c.frames.ReadFrame()
		if err != nil {
			return
		}
		h := f.Header()
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				go c.write(func(f *http2.Framer) error { return f.WriteSettingsAck() })
			}
		case *http2.PingFrame:
			if data := f.Data; !f.IsAck() {
				go c.write(func(f *http2.Framer) error { return f.WritePing(true, data) })
			}
		case *http2.HeadersFrame, *http2.RSTStreamFrame:
			c.events <- frame{kind: byte(h.Type), flags: byte(h.Flags), stream: h.StreamID}
		}
	}
}

// request sends the header of a POST.
func (c *rawClient) request(stream uint32, path string) error {
	c.t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", path},
		{":authority", "keyward"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	return c.write(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
	})
}

// begin opens a call whose message has that length, and sends so much of it.
func (c *rawClient) begin(stream uint32, length, sent int) error {
	c.t.Helper()
	err := c.request(stream, "/"+extauthz.ServiceName+"/Check")
	const largest = 16 << 10 // frame that gRPC takes
	for data := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(length)), make([]byte, sent)...); len(data) > 0 && err == nil; {
		n := min(len(data), largest)
		err = c.write(func(f *http2.Framer) error { return f.WriteData(stream, false, data[:n]) })
		data = data[n:]
	}
	return err
}

// TestClientThatSaysNothing: a connection without HTTP/2's preface is closed soon.
func TestClientThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, began := grpcOnPipes(t)(), time.Now()
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		if took := time.Since(began); took != handshakeTimeout {
			t.Errorf("closed after %s, want %s", took, handshakeTimeout)
		}
	})
}

// TestAnswerThatIsNotRead: over HTTP/2 a client can ask and leave no window for
// the answer. That ends too, on the other listeners.
func TestAnswerThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") })
		l, at := listenerOf(&http.Server{Handler: limitStream(answer, callTimeout), Protocols: protocols}), newPipes()
		t.Cleanup(serveOn(l, at))
		c := newRawClient(t, at.connect(), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		began := time.Now()
		if err := c.request(1, "/"); err != nil {
			t.Fatal(err)
		}
		event := <-c.events
		for event.kind == frameHeaders {
			event = <-c.events
		}
		if took := time.Since(began); event.kind != frameRSTStream || took != callTimeout {
			t.Errorf("frame %d after %s, want RST_STREAM after %s", event.kind, took, callTimeout)
		}
	})
}
