package server

import (
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// newBudget is a budget, and the connections that were closed to keep it.
func newBudget(limit int64) (b *unfinishedBudget, rejected *[]net.Conn) {
	rejected = new([]net.Conn)
	return &unfinishedBudget{limit: limit, rejected: func(c net.Conn) { *rejected = append(*rejected, c) }}, rejected
}

func (b *unfinishedBudget) open() *meteredConn {
	near, _ := net.Pipe()
	return b.meter(near, near).(*meteredConn)
}

// receive is onReceived of a frame of a message, with the header before the first.
func (m *meteredConn) receive(f frame) {
	if m.streams[f.stream] == nil && !m.incomplete.has(f.stream) {
		m.onReceived(frame{kind: frameHeaders, flags: flagEndHeaders, stream: f.stream})
	}
	m.onReceived(f)
}

func data(stream uint32, length int, flags byte) frame {
	return frame{length: length, kind: frameData, flags: flags, stream: stream}
}

func ends(kind byte, stream uint32) frame {
	return frame{kind: kind, flags: flagEndStream, stream: stream}
}

// TestUnfinishedBytes: what counts, and until when.
func TestUnfinishedBytes(t *testing.T) {
	const large = 16<<10 + 64
	for _, test := range []struct {
		name   string
		frames func(m *meteredConn)
		want   int64
	}{
		{"a message in one frame", func(m *meteredConn) { m.receive(data(1, 900, flagEndStream)) }, 0},
		{"a part of one", func(m *meteredConn) { m.receive(data(1, 900, 0)) }, 964},
		{"a frame takes a buffer of the pool", func(m *meteredConn) { m.receive(data(1, 1025, 0)); m.receive(data(3, 4097, 0)) }, 4<<10 + 64 + large},
		{"all of it, not answered", func(m *meteredConn) { m.receive(data(1, 9000, 0)); m.receive(data(1, 9000, flagEndStream)) }, 2 * large},
		{"answered", func(m *meteredConn) {
			m.receive(data(1, 9000, 0))
			m.receive(data(1, 9000, flagEndStream))
			m.onSent(frame{kind: frameHeaders, stream: 1})
			m.onSent(ends(frameHeaders, 1))
		}, 0},
		{"answered before its end, which still comes", func(m *meteredConn) {
			m.receive(data(1, 9000, 0))
			m.onSent(ends(frameHeaders, 1))
			m.receive(data(1, 9000, 0))
			m.receive(data(1, 9000, flagEndStream))
		}, 0},
		{"ended by us", func(m *meteredConn) { m.receive(data(1, 9000, 0)); m.onSent(ends(frameRSTStream, 1)) }, 0},
		{"ended by its client", func(m *meteredConn) { m.receive(data(1, 9000, 0)); m.onReceived(ends(frameRSTStream, 1)) }, 0},
		{"another's answer", func(m *meteredConn) { m.receive(data(1, 9000, 0)); m.onSent(ends(frameHeaders, 3)) }, large},
		{"a connection that is gone", func(m *meteredConn) { m.receive(data(1, 9000, 0)); _ = m.Close(); m.receive(data(1, 9000, 0)) }, 0},
		{"many that were answered early", func(m *meteredConn) {
			for stream := range uint32(3 * maxAnswered) {
				m.receive(data(2*stream+1, 9000, 0))
				m.onSent(ends(frameRSTStream, 2*stream+1))
			}
			if len(m.streams) > maxAnswered {
				t.Errorf("%d calls are remembered", len(m.streams))
			}
		}, 0},
	} {
		b, _ := newBudget(1 << 30)
		m := b.open()
		test.frames(m)
		if held := b.held.Load(); held != test.want || m.held.Load() != test.want {
			t.Errorf("%s: %d bytes are held, %d on the connection, want %d", test.name, held, m.held.Load(), test.want)
		}
	}
}

// TestLargestIsShed: the largest calls of the connection that holds most are
// ended, which need not be the one that has brought all of them to the bound.
func TestLargestIsShed(t *testing.T) {
	const large = 16<<10 + 64
	b, rejected := newBudget(10 * large)
	hoarder, other := b.open(), b.open()
	for stream := range uint32(8) {
		hoarder.receive(data(2*stream+1, 16<<10, 0))
	}
	hoarder.receive(data(3, 16<<10, 0))
	other.receive(data(1, 16<<10, 0))
	if len(*rejected) != 0 {
		t.Fatal("ended at the bound")
	}
	other.receive(data(1, 16<<10, 0))
	if len(*rejected) != 1 || (*rejected)[0] != net.Conn(hoarder) || b.held.Load() != 6*large || hoarder.held.Load() != 4*large {
		t.Errorf("%d connections, %d bytes are held", len(*rejected), b.held.Load())
	}
	frames := make([]byte, 1<<10)
	hoarder.in.skip = 0
	n := hoarder.takeResets(frames)
	const size = frameHeaderSize + 4
	if n != 4*size || string(frames[:size]) != "\x00\x00\x04\x03\x00\x00\x00\x00\x03\x00\x00\x00\x08" {
		t.Errorf("%d bytes: %x", n, frames[:n])
	}
	hoarder.receive(data(3, 16<<10, 0))
	if hoarder.held.Load() != 4*large {
		t.Error("what comes for a call that is ended counts")
	}
}

// TestUnopenedStreams: frames of streams that were never opened, of which gRPC
// keeps nothing, are not tracked either.
func TestUnopenedStreams(t *testing.T) {
	b, _ := newBudget(1 << 20)
	m := b.open()
	for stream := range uint32(10) {
		m.onReceived(data(2*stream+1, 10, 0))
	}
	if len(m.streams) != 0 || b.held.Load() != 0 {
		t.Errorf("%d calls are tracked, %d bytes are held", len(m.streams), b.held.Load())
	}
}

// TestTimedOutCallIsReleased: what a call held is counted until gRPC has ended it,
// and no longer.
func TestTimedOutCallIsReleased(t *testing.T) {
	b, _ := newBudget(1 << 20)
	m := b.open()
	m.in.skip = 0
	m.receive(data(1, 900, 0))
	m.endCall(1)
	if held, ending := b.held.Load(), b.ending.Load(); held != 0 || ending != 964 {
		t.Errorf("%d bytes are held, %d are to be ended", held, ending)
	}
	m.takeResets(make([]byte, 1<<10))
	if held, ending := b.held.Load(), b.ending.Load(); held != 0 || ending != 0 {
		t.Errorf("after the end %d bytes are held, %d are to be ended", held, ending)
	}
	m.receive(data(1, 900, 0))
	if b.held.Load() != 0 {
		t.Error("a frame of a call that has ended counts")
	}
}

// TestPruningIsAmortized: many calls that are not answered do not make each frame
// walk over all of them.
func TestPruningIsAmortized(t *testing.T) {
	b, _ := newBudget(1 << 40)
	m := b.open()
	for stream := range uint32(3 * maxAnswered) {
		m.track(2*stream+1, &unfinished{bytes: 1})
	}
	if m.pruneAt < len(m.streams)/2 || len(m.streams) != 3*maxAnswered {
		t.Errorf("%d calls, pruned at %d", len(m.streams), m.pruneAt)
	}
}

// TestStuckConnectionsAreClosed: connections on which no call can be ended hold
// no more than the bound again.
func TestStuckConnectionsAreClosed(t *testing.T) {
	const large = 16<<10 + 64
	b, _ := newBudget(10 * large)
	var conns []*meteredConn
	for range 5 {
		m := b.open()
		for stream := range uint32(10) {
			m.receive(data(2*stream+1, 16<<10, 0))
		}
		conns = append(conns, m)
		if held, ending := b.held.Load(), b.ending.Load(); held > b.limit || ending > b.limit {
			t.Fatalf("%d bytes are held, and %d of calls that are to end", held, ending)
		}
	}
	closed := 0
	for _, m := range conns {
		if m.closed {
			closed++
			if _, err := m.raw.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("a connection that is closed can be written: %v", err)
			}
		}
	}
	if closed == 0 || closed == len(conns) {
		t.Errorf("%d of %d connections are closed", closed, len(conns))
	}
	for _, m := range conns {
		m.in.skip = 0
		for m.resetBytes() > 0 {
			m.takeResets(make([]byte, 1<<10))
		}
	}
	if ending := b.ending.Load(); ending != 0 {
		t.Errorf("%d bytes are counted when all calls have ended", ending)
	}
}

// TestHoarder: of what a client sends of messages that it does not finish no
// more is kept than the bound, also when nothing more comes, and its other calls go on.
func TestHoarder(t *testing.T) {
	connect := grpcOnPipes(t)
	hoarder := newRawClient(t, connect())
	held := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := held()
	const message = 1 << 20
	for stream := range uint32(4 * maxUnfinished / message) {
		if err := hoarder.begin(2*stream+1, message, message-1-4096); err != nil {
			t.Fatal(err)
		}
	}
	for began := time.Now(); held() > before+maxUnfinished*3/2; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > callTimeout*3/4 {
			t.Fatalf("%d MiB are kept", (held()-before)>>20)
		}
	}
	last := uint32(8*maxUnfinished/message + 1)
	if err := hoarder.request(last, "/nothing"); err != nil {
		t.Fatal(err)
	}
	for event := range hoarder.events {
		if event.stream == last {
			return
		}
	}
	t.Error("the connection ended")
}

// hoardOnPipes has a client hold almost what may be held, and another one more
// than the rest after last was sent, and waits for what becomes of the first.
func hoardOnPipes(t *testing.T, last string) (hoarder *rawClient) {
	t.Helper()
	connect := grpcOnPipes(t)
	hoarder, other := newRawClient(t, connect()), newRawClient(t, connect())
	const window = 1<<20 - 5 // with the length of the message; gRPC resets a stream that sends more before it is read
	for stream := range uint32(maxUnfinished>>20 - 1) {
		if err := hoarder.begin(2*stream+1, 2<<20, window); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(hoarder.conn, last); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if err := other.begin(1, 2<<20, window); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		const next = 3
		if err := other.request(next, "/nothing"); err != nil {
			t.Fatal(err)
		}
		if event, ok := <-other.events; !ok || event.stream != next {
			t.Errorf("another client: %+v, %v", event, ok)
		}
	})
	return hoarder
}

// TestHoarderThatWaits: the calls of a connection on which nothing comes in are
// ended too, and the connection is of use.
func TestHoarderThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hoarder := hoardOnPipes(t, "")
		time.Sleep(2 * endWithin)
		const next = 1001
		if err := hoarder.request(next, "/nothing"); err != nil {
			t.Fatal(err)
		}
		if event, ok := <-hoarder.events; !ok || event.stream != next {
			t.Errorf("%+v, %v", event, ok)
		}
	})
}

// TestHoarderWithinAFrame: a connection that stops where no call can be ended is closed.
func TestHoarderWithinAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hoarder := hoardOnPipes(t, "\x00\x40\x00\x00\x00\x00\x00\x00\x01of 16 KiB")
		began := time.Now()
		for range hoarder.events {
		}
		if took := time.Since(began); took != endWithin {
			t.Errorf("the connection ended after %s, want %s", took, endWithin)
		}
	})
}
