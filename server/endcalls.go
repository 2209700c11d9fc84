package server

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"time"
)

// resets are calls of a connection that gRPC is to end. gRPC has no function for
// that, so it reads what a client that gives up would send: RST_STREAM. The client
// does not learn of it. Its own timeout ends the call on its side.
//
// Such a frame may stand only between frames, and not within a block of header
// fields. The reader therefore stops at such a place, or is interrupted while it
// waits for the next frame. A connection that does not come to such a place is
// closed.
type resets struct {
	frames      []byte // that gRPC has not read yet; while there are some the read deadline has passed
	interrupted bool   // the deadline was set once; only this type sets it
	overdue     *time.Timer
	bytes       int64 // of the calls; gRPC holds them until it has read the frames
}

// endWithin is how long a connection may take until gRPC reads its resets. On a
// busy node neither this process nor the proxy may run for a moment, and closing
// the connection ends the checks of all the proxy's clients.
const endWithin = 2 * time.Second

// end has gRPC end a call. The bytes of the call count as those of a reset from
// now on. m.mu is held.
func (m *meteredConn) end(stream uint32) {
	if call := m.streams[stream]; call != nil {
		m.resets.bytes += call.bytes
		m.budget.ending.Add(call.bytes)
		m.release(call)
	}
	e := &m.resets
	if len(e.frames) == 0 {
		e.interrupted = true
		e.overdue = time.AfterFunc(endWithin, func() { _ = m.raw.Close() })
		_ = m.raw.SetReadDeadline(time.Unix(1, 0))
		m.hasResets.Store(true)
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

// takeResets puts frames that end calls into p, if a frame may stand here.
func (m *meteredConn) takeResets(p []byte) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, n := &m.resets, 0
	if m.in.toBoundary() == 0 {
		n = copy(p, e.frames)
		e.frames = slices.Delete(e.frames, 0, n)
		if len(e.frames) > 0 {
			return n
		}
		e.overdue.Stop()
		m.hasResets.Store(false)
		m.forgetResets()
	}
	_ = m.raw.SetReadDeadline(time.Time{})
	return n
}

// wasInterrupted reports whether a read failed because there are resets, or were.
func (m *meteredConn) wasInterrupted(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.resets.interrupted
}

// endLargest ends the calls that hold the most bytes, until the connection holds
// half of what it did.
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
		m.end(calls[0])
	}
}

// forgetResets stops counting the calls that were to end. m.mu is held.
func (m *meteredConn) forgetResets() {
	m.budget.ending.Add(-m.resets.bytes)
	m.resets.bytes = 0
}

func (m *meteredConn) resetBytes() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.resets.bytes
}
