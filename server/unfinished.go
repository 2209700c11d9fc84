package server

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxUnfinished is the maximum number of bytes of messages that gRPC clients have
// begun and that are not answered, on all connections together.
const maxUnfinished = 64 << 20

// unfinishedBudget bounds the memory that clients make the server hold for calls
// that they do not finish. gRPC has no such bound: it reads as much of each message
// as the message declares, on each stream of each connection.
//
// Only a message that comes in several frames counts, such as one with a large
// body: a check is one frame, and is answered at once. At the bound, the largest
// calls of the connection that holds the most are ended. That need not be the
// connection that asks for more; otherwise a client that holds everything would
// exclude the others. The connection is not closed: Envoy's carries the checks of
// all its clients, one of which may be uploading much.
//
// gRPC holds the bytes of a call until it has ended the call. If those bytes reach
// the limit too, because connections do not come to a place where a call can be
// ended, the connections that hold the most of them are closed.
type unfinishedBudget struct {
	limit    int64
	rejected func(net.Conn) // is called with the connection of which calls are ended

	held   atomic.Int64
	ending atomic.Int64 // of calls that are to end
	mu     sync.Mutex
	conns  map[*meteredConn]struct{}
}

// meter returns an HTTP/2 connection whose messages are counted. raw is the
// connection below TLS, by which it is closed.
func (b *unfinishedBudget) meter(conn, raw net.Conn) net.Conn {
	m := &meteredConn{Conn: conn, raw: raw, budget: b, streams: map[uint32]*unfinished{}}
	m.in.skip = prefaceSize
	m.received, m.sent = m.onReceived, m.onSent
	m.incomplete.end, m.incomplete.began = m.endCall, time.Now()
	return m
}

// register adds the connection to those whose calls may be ended. A new connection is
// not among them, since gRPC closes one without a valid preface only by its raw side.
func (b *unfinishedBudget) register(m *meteredConn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		b.conns = map[*meteredConn]struct{}{}
	}
	if !m.closed {
		b.conns[m] = struct{}{}
	}
}

// unregister removes the connection and what it holds; it is not registered again.
// b.mu is held.
func (b *unfinishedBudget) unregister(m *meteredConn) {
	m.closed = true
	delete(b.conns, m)
	m.forget()
}

// shed ends calls until the total is within the limit.
func (b *unfinishedBudget) shed() {
	for b.held.Load() > b.limit {
		largest := b.largest()
		if largest == nil {
			return // what was counted has been released meanwhile
		}
		b.rejected(largest)
		largest.endLargest()
	}
	b.closeStuck()
}

// closeStuck closes connections until the calls that are to end are within the
// limit.
func (b *unfinishedBudget) closeStuck() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.ending.Load() > b.limit {
		var largest *meteredConn
		maxBytes := int64(0)
		for m := range b.conns {
			if bytes := m.resetBytes(); bytes > maxBytes {
				largest, maxBytes = m, bytes
			}
		}
		if largest == nil {
			return
		}
		b.rejected(largest)
		b.unregister(largest)
		_ = largest.raw.Close()
	}
}

// largest returns the connection that holds the most bytes; nil if none holds any.
func (b *unfinishedBudget) largest() *meteredConn {
	b.mu.Lock()
	defer b.mu.Unlock()
	var largest *meteredConn
	maxHeld := int64(0)
	for m := range b.conns {
		if held := m.held.Load(); held > maxHeld {
			largest, maxHeld = m, held
		}
	}
	return largest
}

// meteredConn counts the messages of one connection by the frames that are read and
// written.
type meteredConn struct {
	net.Conn
	raw    net.Conn
	budget *unfinishedBudget
	held   atomic.Int64 // bytes
	closed bool         // guarded by budget.mu

	in, out        frameScanner
	received, sent func(frame)
	hasResets      atomic.Bool // resets has frames
	incomplete     messageTimeout

	tracked atomic.Int32 // len(streams), to be read without mu
	mu      sync.Mutex
	streams map[uint32]*unfinished // nil once the connection is closed
	pruneAt int                    // the length at which streams is pruned
	resets  resets
}

// unfinished is a call whose message came in several frames.
type unfinished struct {
	bytes    int64
	complete bool // the client has sent all of it
	answered bool // gRPC holds nothing more of it
}

// maxAnswered is the maximum number of answered calls that are tracked because their
// client may still be sending.
const maxAnswered = 4 * maxStreams

// Read implements net.Conn.
func (m *meteredConn) Read(p []byte) (int, error) {
	for {
		part := p
		if m.hasResets.Load() {
			if n := m.takeResets(p); n > 0 {
				return n, nil
			}
			if left := m.in.toBoundary(); left > 0 {
				part = p[:min(len(p), left)]
			}
		}
		n, err := m.Conn.Read(part)
		m.incomplete.scan(&m.in, part[:max(n, 0)], m.received)
		if n > 0 || !m.wasInterrupted(err) {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (m *meteredConn) Write(p []byte) (int, error) {
	m.out.scan(p, m.sent)
	return m.Conn.Write(p)
}

// Close implements net.Conn.
func (m *meteredConn) Close() error {
	m.incomplete.stop()
	m.budget.mu.Lock()
	m.budget.unregister(m)
	m.budget.mu.Unlock()
	return m.Conn.Close()
}

func (m *meteredConn) onReceived(f frame) {
	m.incomplete.received(f)
	switch {
	case f.kind == frameData && (!f.endsStream() || m.tracked.Load() > 0):
		m.add(f)
	case f.kind == frameRSTStream && m.tracked.Load() > 0:
		m.finish(f.stream, true)
	}
}

func (m *meteredConn) onSent(f frame) {
	if (f.kind == frameRSTStream || f.kind == frameHeaders && f.endsStream()) && m.tracked.Load() > 0 {
		m.finish(f.stream, false)
	}
}

// add counts a frame of a message.
func (m *meteredConn) add(f frame) {
	m.mu.Lock()
	call := m.streams[f.stream]
	if m.streams == nil || call == nil && (f.endsStream() || !m.incomplete.has(f.stream)) {
		m.mu.Unlock()
		return // gRPC keeps nothing of a stream that was not opened
	}
	first := call == nil
	if first {
		call = &unfinished{}
		m.track(f.stream, call)
	}
	if call.complete = f.endsStream(); call.answered {
		if call.complete {
			m.untrack(f.stream)
		}
		m.mu.Unlock()
		return
	}
	size := sizeInMemory(f.length)
	call.bytes += size
	m.held.Add(size)
	m.mu.Unlock()
	if first {
		m.budget.register(m)
	}
	if m.budget.held.Add(size) > m.budget.limit {
		m.budget.shed()
	}
}

// finish ends a call, either by an answer or by its client. After an answer the
// client may still be sending; gRPC keeps nothing of that.
func (m *meteredConn) finish(stream uint32, byClient bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	call := m.streams[stream]
	if call == nil {
		return
	}
	m.release(call)
	if byClient || call.complete {
		m.untrack(stream)
	}
}

// release stops counting a call. m.mu is held.
func (m *meteredConn) release(call *unfinished) {
	m.held.Add(-call.bytes)
	m.budget.held.Add(-call.bytes)
	call.bytes, call.answered = 0, true
}

func (m *meteredConn) track(stream uint32, call *unfinished) {
	if len(m.streams) >= max(maxAnswered, m.pruneAt) {
		for id, old := range m.streams {
			if old.answered {
				delete(m.streams, id)
			}
		}
		m.pruneAt = 2 * len(m.streams) // so that pruning costs each call a constant, whatever is left
	}
	m.streams[stream] = call
	m.tracked.Store(int32(len(m.streams)))
}

func (m *meteredConn) untrack(stream uint32) {
	delete(m.streams, stream)
	m.tracked.Store(int32(len(m.streams)))
}

// forget stops counting the connection.
func (m *meteredConn) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.budget.held.Add(-m.held.Swap(0))
	m.forgetResets()
	m.streams = nil
	m.tracked.Store(0)
}

// sizeInMemory returns the bytes that gRPC allocates for a DATA frame: its pool has
// buffers of a few sizes, and each frame needs a few words in addition.
func sizeInMemory(length int) int64 {
	const overhead = 64
	switch {
	case length <= 1<<10:
		return int64(length) + overhead
	case length <= 4<<10:
		return 4<<10 + overhead
	default:
		return 16<<10 + overhead
	}
}
