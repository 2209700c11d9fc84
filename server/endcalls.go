package server

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"time"
)

// endings are calls of a connection that gRPC is to end. It cannot be told
// which, so it reads what a client would send that gives up: RST_STREAM. The
// client is not told. Its own time-out ends the call on its side.
//
// Such a frame may stand between frames only, and not within a block of header
// fields, so the reader is stopped at such a place, or woken where it waits for
// the next frame. A connection that does not come to one is closed.
type endings struct {
	frames  []byte // that are yet to be read; while there are some the read deadline has passed
	woken   bool   // it was set once, and is ours alone
	overdue *time.Timer
	bytes   int64 // of the calls; gRPC holds them until it has read the frames
}

// endWithin is how long a connection may take until gRPC reads its endings. On a
// busy node neither this process nor the proxy may run for a moment, and closing
// the connection ends the checks of all the proxy's clients.
const endWithin = 2 * time.Second

// end has gRPC end a call. m.mu is held.
func (m *meteredConn) end(stream uint32) {
	e := &m.ending
	if len(e.frames) == 0 {
		e.woken = true
		e.overdue = time.AfterFunc(endWithin, func() { _ = m.raw.Close() })
		_ = m.raw.SetReadDeadline(time.Unix(1, 0))
		m.ends.Store(true)
	}
	const cancel = 0x8 // RFC 9113 section 7
	e.frames = append(e.frames, 0, 0, 4, frameRSTStream, 0)
	e.frames = binary.BigEndian.AppendUint32(e.frames, stream)
	e.frames = binary.BigEndian.AppendUint32(e.frames, cancel)
}

// endCall has gRPC end a call.
func (m *meteredConn) endCall(stream uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end(stream)
}

// takeEndings puts frames that end calls into p, if one may stand here.
func (m *meteredConn) takeEndings(p []byte) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, n := &m.ending, 0
	if m.in.toBoundary() == 0 {
		n = copy(p, e.frames)
		e.frames = slices.Delete(e.frames, 0, n)
		if len(e.frames) > 0 {
			return n
		}
		e.overdue.Stop()
		m.ends.Store(false)
		m.forgetEndings()
	}
	_ = m.raw.SetReadDeadline(time.Time{})
	return n
}

// wasWoken reports whether a read failed since there are endings, or were.
func (m *meteredConn) wasWoken(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ending.woken
}

// endLargest ends the calls that hold most until the connection holds half of
// what it did.
func (m *meteredConn) endLargest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	var calls []uint32
	for stream, call := range m.streams {
		if call.bytes > 0 {
			calls = append(calls, stream)
		}
	}
	slices.SortFunc(calls, func(a, b uint32) int { return int(m.streams[b].bytes - m.streams[a].bytes) })
	for half := m.held.Load() / 2; len(calls) > 0 && m.held.Load() > half; calls = calls[1:] {
		call := m.streams[calls[0]]
		m.ending.bytes += call.bytes
		m.budget.ending.Add(call.bytes)
		m.release(call)
		m.end(calls[0])
	}
}

// forgetEndings counts nothing more of calls that were to end. m.mu is held.
func (m *meteredConn) forgetEndings() {
	m.budget.ending.Add(-m.ending.bytes)
	m.ending.bytes = 0
}

func (m *meteredConn) endingBytes() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ending.bytes
}
