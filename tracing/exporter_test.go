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

// TestCollectorThatHangs: however many checks there are, none waits, what does
// not fit into the queue is counted, and Close keeps its bound and leaves
// nothing behind.
func TestCollectorThatHangs(t *testing.T) {
	for name, address := range map[string]string{"accepts and is silent": deaf(t), "takes calls and is silent": silent(t), "is not there": closed(t)} {
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
			// The collector's time-out is ten seconds: had one check waited for it, this would show.
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%d checks took %v", checks, took)
			}
			began = time.Now()
			closeTracer(t, tracer)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("Close took %v", took)
			}
			if counted.sent != 0 || counted.failed > queue || counted.failed+counted.dropped != checks {
				t.Errorf("%v; want %d in all", counted, checks)
			}
			tracer.Observe(&authz.Request{}, &authz.Decision{At: at()}) // a check that was under way
			if counted.failed+counted.dropped != checks+1 {
				t.Errorf("%v after one more", counted)
			}
			running := goroutines(t)
			for began = time.Now(); strings.Contains(running, "batchSpanProcessor") && time.Since(began) < time.Second; running = goroutines(t) {
				time.Sleep(time.Millisecond) // Close may be heard of before the one that closed is gone
			}
			if strings.Contains(running, "batchSpanProcessor") {
				t.Errorf("after Close there runs\n%s", running)
			}
		})
	}
}

// goroutines lists all of them with what they are at.
func goroutines(t *testing.T) string {
	t.Helper()
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 2); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// silent is a collector that takes calls and answers none.
func silent(t *testing.T) string {
	t.Helper()
	receiver := otlpreceiver.Start(t, grpc.UnaryInterceptor(
		func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
	return receiver.Address
}

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestCollectorComesLate: what waits is delivered once the collector is there.
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
	refused chan struct{} // holds one once a connection was closed
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

// TestFailuresAreLogged: one line when delivery begins to fail, whatever number of batches do.
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
