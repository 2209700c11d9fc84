package server

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"keyward/extauthz"

	"golang.org/x/net/http2"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// TestCallThatNeverEnds: a call whose message does not come ends by itself. The
// connection of a client that has gone silent has no call then, and ends as well.
func TestCallThatNeverEnds(t *testing.T) {
	const check = "/" + extauthz.ServiceName + "/Check"
	for name, test := range map[string]struct {
		begin func(c *rawClient) error
		last  time.Duration // when the last call begins
	}{
		"no message":    {func(c *rawClient) error { return c.request(1, check) }, 0},
		"a part of one": {func(c *rawClient) error { return c.begin(1, 100_000, 50_000) }, 0},
		"one after another": {func(c *rawClient) error {
			if err := c.begin(1, 1000, 10); err != nil {
				return err
			}
			time.Sleep(callTimeout / 2)
			return c.request(3, check)
		}, callTimeout / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newRawClient(t, grpcOnPipes(t)())
				began := time.Now()
				if err := test.begin(c); err != nil {
					t.Fatal(err)
				}
				for range c.events {
				}
				// GOAWAY leaves a client a second for calls that it has just begun.
				took, want := time.Since(began), test.last+callTimeout+idleTimeout
				if took < want || took > want+2*time.Second {
					t.Errorf("the connection ended after %s, want %s", took, want)
				}
			})
		})
	}
}

// TestSlowMessage: a call goes on if its message is complete in time, for as
// long as it takes then.
func TestSlowMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRawClient(t, grpcOnPipes(t)())
		send := func(stream uint32) {
			if err := c.write(func(f *http2.Framer) error { return f.WriteData(stream, true, make([]byte, 5)) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.request(1, healthpb.Health_Watch_FullMethodName); err != nil {
			t.Fatal(err)
		}
		send(1) // a watcher waits for a change, which does not come
		if err := c.request(3, healthpb.Health_Check_FullMethodName); err != nil {
			t.Fatal(err)
		}
		time.Sleep(callTimeout - time.Millisecond)
		send(3)
		time.Sleep(callTimeout)
		synctest.Wait()
		var ended []uint32
		for len(c.events) > 0 {
			if event := <-c.events; event.kind != frameHeaders || event.endsStream() {
				ended = append(ended, event.stream)
			}
		}
		if fmt.Sprint(ended) != "[3]" {
			t.Errorf("calls %v ended, want that of the health check alone", ended)
		}
		_ = c.conn.Close()
	})
}

// TestIncompleteCalls: what is remembered of calls, and which are ended when there are too many.
func TestIncompleteCalls(t *testing.T) {
	headers := func(stream uint32) frame { return frame{kind: frameHeaders, stream: stream} }
	for _, test := range []struct {
		name   string
		frames []frame
		want   []uint32
	}{
		{"a message complete", []frame{headers(1), data(1, 9, 0), data(1, 9, flagEndStream)}, nil},
		{"no message", []frame{ends(frameHeaders, 1)}, nil},
		{"ended by trailers", []frame{headers(1), data(1, 9, 0), ends(frameHeaders, 1)}, nil},
		{"given up", []frame{headers(1), ends(frameRSTStream, 1)}, nil},
		{"trailers that end nothing, for which gRPC closes the connection", []frame{headers(1), headers(1)}, []uint32{1}},
		{"another's end", []frame{headers(1), headers(3), headers(5), data(3, 9, flagEndStream)}, []uint32{1, 5}},
		{"settings acknowledged, which is the flag of an end", []frame{headers(1), {kind: 0x4, flags: flagEndStream}}, []uint32{1}},
	} {
		b, _ := newBudget(1 << 30)
		m := b.open()
		for _, f := range test.frames {
			m.onReceived(f)
		}
		var left []uint32
		for _, call := range m.incomplete.calls {
			left = append(left, call.stream)
		}
		if fmt.Sprint(left) != fmt.Sprint(test.want) {
			t.Errorf("%s: calls %v are incomplete, want %v", test.name, left, test.want)
		}
	}
	b, _ := newBudget(1 << 30)
	m := b.open()
	m.in.skip = 0
	for stream := range uint32(maxIncomplete) {
		m.onReceived(headers(2*stream + 1))
	}
	if m.hasResets.Load() {
		t.Fatal("ended at the bound")
	}
	m.onReceived(headers(2*maxIncomplete + 1))
	const size = frameHeaderSize + 4
	p := make([]byte, 1<<20)
	if n := m.takeResets(p); n != maxIncomplete/2*size || p[frameHeaderSize-1] != 1 {
		t.Errorf("%d calls were ended, the first is %x", n/size, p[:size])
	}
	if calls := m.incomplete.calls; len(calls) != maxIncomplete/2+1 || calls[0].stream != maxIncomplete+1 {
		t.Errorf("%d calls are left, from stream %d", len(calls), calls[0].stream)
	}
}
