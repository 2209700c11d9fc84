package server

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// messageTimeout ends the calls of a connection whose message is not complete
// within callTimeout. Otherwise gRPC keeps the part that has arrived, and a
// goroutine that waits for the rest, for as long as the connection lives. A context
// with a deadline per call (grpc.InTapHandle) has the same effect, and makes each
// check 1.4 % slower.
//
// The client does not learn of it, see resets. Envoy's calls have their own
// deadline.
type messageTimeout struct {
	end   func(stream uint32)
	began time.Time // of the connection

	mu    sync.Mutex
	calls []incompleteCall // in the order of their streams, oldest first
	timer *time.Timer      // runs while there are calls
}

// incompleteCall is a call whose client is still sending.
type incompleteCall struct {
	stream uint32
	since  time.Duration // after the connection began; 0 until the first scan after it arrived ends
}

// maxIncomplete is the maximum number of calls that are tracked per connection.
// There are more than gRPC has open if it refuses some, or answers before their
// message is complete.
const maxIncomplete = 4 * maxStreams

// scan finds the frames of p. Most calls begin and end in the same p, and need no
// reading of the clock.
func (t *messageTimeout) scan(in *frameScanner, p []byte, found func(frame)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in.scan(p, found)
	last := len(t.calls) - 1
	if last < 0 || t.calls[last].since > 0 {
		return
	}
	now := max(time.Since(t.began), 1)
	for i := last; i >= 0 && t.calls[i].since == 0; i-- {
		t.calls[i].since = now
	}
	if t.timer == nil {
		t.timer = time.AfterFunc(callTimeout, t.expire)
	}
}

// received notes whether the frame begins a call, or completes its message. t.mu is held.
func (t *messageTimeout) received(f frame) {
	switch last := len(t.calls) - 1; {
	case f.kind == frameRSTStream || f.endsStream() && (f.kind == frameData || f.kind == frameHeaders):
		if i, found := t.find(f.stream); found {
			t.calls = slices.Delete(t.calls, i, i+1)
		}
	case f.kind == frameHeaders && (last < 0 || t.calls[last].stream < f.stream): // else gRPC closes the connection
		if last+1 >= maxIncomplete {
			t.endOldest(maxIncomplete / 2)
		}
		t.calls = append(t.calls, incompleteCall{stream: f.stream})
	}
}

// has reports whether the stream has a call whose message is not complete. t.mu is
// held.
func (t *messageTimeout) has(stream uint32) bool {
	_, found := t.find(stream)
	return found
}

func (t *messageTimeout) find(stream uint32) (int, bool) {
	return slices.BinarySearchFunc(t.calls, stream, func(c incompleteCall, stream uint32) int {
		return cmp.Compare(c.stream, stream)
	})
}

// expire ends the calls that have had callTimeout.
func (t *messageTimeout) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	deadline := time.Since(t.began) - callTimeout
	n := 0
	for n < len(t.calls) && t.calls[n].since <= deadline {
		n++
	}
	t.endOldest(n)
	if t.timer = nil; len(t.calls) > 0 {
		t.timer = time.AfterFunc(t.calls[0].since-deadline, t.expire)
	}
}

// endOldest ends the n oldest calls. t.mu is held.
func (t *messageTimeout) endOldest(n int) {
	for _, call := range t.calls[:n] {
		t.end(call.stream)
	}
	t.calls = slices.Delete(t.calls, 0, n)
}

// stop forgets all calls, since the connection is closed.
func (t *messageTimeout) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = nil
	if t.timer != nil {
		t.timer.Stop()
	}
}
