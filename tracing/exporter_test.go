package tracing_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/otlpreceiver"
	"keyward/tracing"

	"google.golang.org/grpc"
)

// TestCollectorThatHangs: no check waits, whatever their number. Spans that do
// not fit into the queue are counted, and Close keeps its deadline and leaves
// no goroutine.
func TestCollectorThatHangs(t *testing.T) {
	for name, address := range map[string]string{"accepts connections only": hangingListener(t), "accepts calls only": hangingCollector(t), "refuses connections": closed(t)} {
		t.Run(name, func(t *testing.T) {
			const checks, queue = 20_000, 1000
			tracer, counted := newTracer(t, tracing.Config{Endpoint: address, Sample: 1, Queue: queue, CloseTimeout: 100 * time.Millisecond})
			began := time.Now()
			var together sync.WaitGroup
			for range 4 {
				together.Go(func() {
					for range checks / 4 {
						tracer.Observe(&authz.Request{}, &authz.Decision{Reason: authz.OK, At: at()})
					}
				})
			}
			together.Wait()
			// The collector's timeout is ten seconds, so a check that waited
			// for it would exceed this.
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%d checks took %v", checks, took)
			}
			began = time.Now()
			closeTracer(t, tracer)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("Close took %v", took)
			}
			if counted.sent != 0 || counted.failed > queue || counted.failed+counted.dropped != checks {
				t.Errorf("%v; want %d in total", counted, checks)
			}
			tracer.Observe(&authz.Request{}, &authz.Decision{At: at()}) // a check in progress
			if counted.failed+counted.dropped != checks+1 {
				t.Errorf("%v after one more", counted)
			}
			running := goroutines(t)
			for began = time.Now(); strings.Contains(running, "batchSpanProcessor") && time.Since(began) < time.Second; running = goroutines(t) {
				time.Sleep(time.Millisecond) // Close may return before the goroutine that closed has ended
			}
			if strings.Contains(running, "batchSpanProcessor") {
				t.Errorf("still running after Close:\n%s", running)
			}
		})
	}
}

// goroutines returns the stacks of all goroutines.
func goroutines(t *testing.T) string {
	t.Helper()
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 2); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// hangingCollector accepts calls and answers none.
func hangingCollector(t *testing.T) string {
	t.Helper()
	receiver := otlpreceiver.Start(t, grpc.UnaryInterceptor(
		func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
	return receiver.Address
}

// closed returns an address on which nothing listens.
func closed(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestCollectorComesLate: queued spans are delivered once the collector runs.
func TestCollectorComesLate(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	late := &refusingListener{Listener: listener, refused: make(chan struct{}, 1)}
	receiver := otlpreceiver.StartOn(t, late)
	tracer, counted := newTracer(t, tracing.Config{Endpoint: receiver.Address, Sample: 1, CloseTimeout: 10 * time.Second})
	for range 100 {
		tracer.Observe(&authz.Request{}, &authz.Decision{Reason: authz.OK, At: at()})
	}
	<-late.refused
	late.open.Store(true)
	receiver.Wait(t, "keyward", 100)
	closeTracer(t, tracer)
	if got := counted.String(); got != "sent 100, failed 0, dropped 0" {
		t.Error(got)
	}
}

// refusingListener closes each connection until it is open.
type refusingListener struct {
	net.Listener
	open    atomic.Bool
	refused chan struct{} // holds one value once a connection was closed
}

func (l *refusingListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.open.Load() {
			return conn, err
		}
		_ = conn.Close()
		select {
		case l.refused <- struct{}{}:
		default:
		}
	}
}

// TestFailuresAreLogged: one line is logged when delivery begins to fail,
// whatever the number of failed batches.
func TestFailuresAreLogged(t *testing.T) {
	var log bytes.Buffer
	tracer, counted := newTracer(t, tracing.Config{
		Endpoint: closed(t), Sample: 1, CloseTimeout: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	for range 1200 { // three batches
		tracer.Observe(&authz.Request{}, &authz.Decision{Reason: authz.OK, At: at()})
	}
	closeTracer(t, tracer)
	if n := strings.Count(log.String(), "traces can't be delivered"); n != 1 || counted.failed != 1200 {
		t.Errorf("%d lines, %v:\n%s", n, counted, log.String())
	}
}
