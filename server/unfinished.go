package server

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxUnfinished bounds the bytes of the messages that gRPC clients have begun
// and that are not answered, on all connections together.
const maxUnfinished = 64 << 20

// unfinishedBudget bounds what clients may have us hold of calls that they do
// not finish. gRPC has no such bound: it takes as much of each message as the
// message says that it has, on each stream of each connection.
//
// Only a message that comes in several frames counts, one with a large body: a
// check is one frame, and is answered at once. At the bound the largest calls of
// the connection that holds most are ended. It is not the one that has asked for
// more, or a client that holds all would keep every other out. And it is not
// closed: Envoy's has the checks of all its clients, of whom one may upload much.
//
// Until gRPC has ended a call it holds its bytes. If those come to the bound too,
// because connections do not come to a place where a call can be ended, the ones
// that hold most of them are closed.
type unfinishedBudget struct {
	most     int64
	rejected func(net.Conn) // is told the connection of which calls are ended

	held   atomic.Int64
	ending atomic.Int64 // of calls that are to end
	mu     sync.Mutex
	conns  map[*meteredConn]struct{}
}

// meter returns an HTTP/2 connection of which the messages are counted. raw is
// what it is closed by, below TLS.
func (b *unfinishedBudget) meter(conn, raw net.Conn) net.Conn {
	m := &meteredConn{Conn: conn, raw: raw, budget: b, streams: map[uint32]*unfinished{}}
	m.in.skip = prefaceSize
	m.received, m.sent = m.onReceived, m.onSent
	m.incomplete.end, m.incomplete.began = m.endCall, time.Now()
	return m
}

// list makes the connection one of which calls may be ended. It was not before, since
// gRPC closes one of which it cannot read the preface by its raw side alone.
func (b *unfinishedBudget) list(m *meteredConn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		b.conns = map[*meteredConn]struct{}{}
	}
	if !m.closed {
		b.conns[m] = struct{}{}
	}
}

// unlist has the connection hold nothing, now and later. b.mu is held.
func (b *unfinishedBudget) unlist(m *meteredConn) {
	m.closed = true
	delete(b.conns, m)
	m.forget()
}

// shed ends calls until the bound is kept.
func (b *unfinishedBudget) shed() {
	for b.held.Load() > b.most {
		largest := b.largest()
		if largest == nil {
			return // what was counted is gone already
		}
		b.rejected(largest)
		largest.endLargest()
	}
	b.closeStuck()
}

// closeStuck closes connections until the calls that are to end keep the bound.
func (b *unfinishedBudget) closeStuck() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.ending.Load() > b.most {
		var stuck *meteredConn
		most := int64(0)
		for m := range b.conns {
			if bytes := m.endingBytes(); bytes > most {
				stuck, most = m, bytes
			}
		}
		if stuck == nil {
			return
		}
		b.unlist(stuck)
		_ = stuck.raw.Close()
	}
}

// largest returns the connection that holds most; nil is that none holds anything.
func (b *unfinishedBudget) largest() *meteredConn {
	b.mu.Lock()
	defer b.mu.Unlock()
	var largest *meteredConn
	most := int64(0)
	for m := range b.conns {
		if held := m.held.Load(); held > most {
			largest, most = m, held
		}
	}
	return largest
}

// meteredConn counts the messages of one connection, by the frames that are read and written.
type meteredConn struct {
	net.Conn
	raw    net.Conn
	budget *unfinishedBudget
	held   atomic.Int64 // bytes
	closed bool         // guarded by budget.mu

	in, out        frameScanner
	received, sent func(frame)
	ends           atomic.Bool // there are frames in ending
	incomplete     messageTimeout

	tracked atomic.Int32 // is len(streams), for calls of which nothing is to be looked up
	mu      sync.Mutex
	streams map[uint32]*unfinished // nil once the connection is closed
	ending  endings
}

// unfinished is a call whose message came in several frames.
type unfinished struct {
	bytes    int64
	complete bool // the client has sent all
	answered bool // and we hold nothing more of it
}

// maxAnswered bounds the calls that are remembered since their client may still be sending.
const maxAnswered = 4 * maxStreams

// Read implements net.Conn.
func (m *meteredConn) Read(p []byte) (int, error) {
	for {
		part := p
		if m.ends.Load() {
			if n := m.takeEndings(p); n > 0 {
				return n, nil
			}
			if left := m.in.toBoundary(); left > 0 {
				part = p[:min(len(p), left)]
			}
		}
		n, err := m.Conn.Read(part)
		m.incomplete.scan(&m.in, part[:max(n, 0)], m.received)
		if n > 0 || !m.wasWoken(err) {
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
	m.budget.unlist(m)
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

// add counts a part of a message.
func (m *meteredConn) add(f frame) {
	m.mu.Lock()
	call := m.streams[f.stream]
	if m.streams == nil || call == nil && f.endsStream() {
		m.mu.Unlock()
		return
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
		m.budget.list(m)
	}
	if m.budget.held.Add(size) > m.budget.most {
		m.budget.shed()
	}
}

// finish ends a call, by an answer or by its client's will. After an answer the
// client may still be sending, of which gRPC keeps nothing.
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

// release counts nothing more of a call. m.mu is held.
func (m *meteredConn) release(call *unfinished) {
	m.held.Add(-call.bytes)
	m.budget.held.Add(-call.bytes)
	call.bytes, call.answered = 0, true
}

func (m *meteredConn) track(stream uint32, call *unfinished) {
	if len(m.streams) >= maxAnswered {
		for id, old := range m.streams {
			if old.answered {
				delete(m.streams, id)
			}
		}
	}
	m.streams[stream] = call
	m.tracked.Store(int32(len(m.streams)))
}

func (m *meteredConn) untrack(stream uint32) {
	delete(m.streams, stream)
	m.tracked.Store(int32(len(m.streams)))
}

// forget counts nothing more.
func (m *meteredConn) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.budget.held.Add(-m.held.Swap(0))
	m.forgetEndings()
	m.streams = nil
	m.tracked.Store(0)
}

// sizeInMemory is what gRPC takes for a frame of data: its pool has buffers of
// a few sizes, and each frame has a few words beside.
func sizeInMemory(length int) int64 {
	const beside = 64
	switch {
	case length <= 1<<10:
		return int64(length) + beside
	case length <= 4<<10:
		return 4<<10 + beside
	default:
		return 16<<10 + beside
	}
}
