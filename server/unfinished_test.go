package server

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// newBudget is a budget, and the connections that were closed to keep it.
func newBudget(most int64) (b *unfinishedBudget, rejected *[]net.Conn) {
	rejected = new([]net.Conn)
	return &unfinishedBudget{most: most, rejected: func(c net.Conn) { *rejected = append(*rejected, c) }}, rejected
}

func (b *unfinishedBudget) open() *meteredConn {
	near, _ := net.Pipe()
	return b.meter(near, near).(*meteredConn)
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
		{"a message in one frame", func(m *meteredConn) { m.onReceived(data(1, 900, flagEndStream)) }, 0},
		{"a part of one", func(m *meteredConn) { m.onReceived(data(1, 900, 0)) }, 964},
		{"a frame takes a buffer of the pool", func(m *meteredConn) { m.onReceived(data(1, 1025, 0)); m.onReceived(data(3, 4097, 0)) }, 4<<10 + 64 + large},
		{"all of it, not answered", func(m *meteredConn) { m.onReceived(data(1, 9000, 0)); m.onReceived(data(1, 9000, flagEndStream)) }, 2 * large},
		{"answered", func(m *meteredConn) {
			m.onReceived(data(1, 9000, 0))
			m.onReceived(data(1, 9000, flagEndStream))
			m.onSent(frame{kind: frameHeaders, stream: 1})
			m.onSent(ends(frameHeaders, 1))
		}, 0},
		{"answered before its end, which still comes", func(m *meteredConn) {
			m.onReceived(data(1, 9000, 0))
			m.onSent(ends(frameHeaders, 1))
			m.onReceived(data(1, 9000, 0))
			m.onReceived(data(1, 9000, flagEndStream))
		}, 0},
		{"ended by us", func(m *meteredConn) { m.onReceived(data(1, 9000, 0)); m.onSent(ends(frameRSTStream, 1)) }, 0},
		{"ended by its client", func(m *meteredConn) { m.onReceived(data(1, 9000, 0)); m.onReceived(ends(frameRSTStream, 1)) }, 0},
		{"another's answer", func(m *meteredConn) { m.onReceived(data(1, 9000, 0)); m.onSent(ends(frameHeaders, 3)) }, large},
		{"a connection that is gone", func(m *meteredConn) { m.onReceived(data(1, 9000, 0)); _ = m.Close(); m.onReceived(data(1, 9000, 0)) }, 0},
		{"many that were answered early", func(m *meteredConn) {
			for stream := range uint32(3 * maxAnswered) {
				m.onReceived(data(2*stream+1, 9000, 0))
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

// TestLargestIsShed: the connection that holds most is closed, which need not
// be the one that has brought all of them to the bound.
func TestLargestIsShed(t *testing.T) {
	b, rejected := newBudget(10 * (16<<10 + 64))
	hoarder, other := b.open(), b.open()
	for stream := range uint32(9) {
		hoarder.onReceived(data(2*stream+1, 16<<10, 0))
	}
	other.onReceived(data(1, 16<<10, 0))
	if len(*rejected) != 0 {
		t.Fatal("closed at the bound")
	}
	other.onReceived(data(1, 16<<10, 0))
	if len(*rejected) != 1 || (*rejected)[0] != net.Conn(hoarder) || b.held.Load() != 2*(16<<10+64) {
		t.Errorf("%d were closed, %d bytes are held", len(*rejected), b.held.Load())
	}
	if hoarder.raw.SetDeadline(time.Now()) == nil {
		t.Error("the connection is open")
	}
}

// TestHoarder: whatever a client sends of messages that it does not finish, what
// is held of them stays within the bound, and its connection ends.
func TestHoarder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connect := grpcOnPipes(t)
		hoarder := newRawClient(t, connect())
		polite := newRawClient(t, connect())
		began := time.Now()
		sent := 0
		for stream := uint32(1); sent <= 4*maxUnfinished && hoarder.begin(stream, 1<<20, 1<<20-1-4096) == nil; stream += 2 {
			sent += 1 << 20
		}
		if sent > maxUnfinished+2<<20 || time.Since(began) >= callTimeout {
			t.Errorf("%d bytes were taken, in %s", sent, time.Since(began))
		}
		if err := polite.begin(1, 1000, 10); err != nil {
			t.Fatal(err)
		}
		if event, ok := <-polite.events; !ok || event.stream != 1 {
			t.Error("another client's connection ended")
		}
	})
}
