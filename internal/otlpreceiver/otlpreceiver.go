// Package otlpreceiver is an OpenTelemetry collector for tests. It receives
// spans by OTLP over gRPC and keeps them.
package otlpreceiver

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // collectors accept gzip
	"google.golang.org/protobuf/proto"
)

// Receiver keeps the requests that it received.
type Receiver struct {
	collector.UnimplementedTraceServiceServer
	Address string

	mu       sync.Mutex
	requests []*collector.ExportTraceServiceRequest
	came     chan struct{} // closed and replaced with each request
}

// Span is one span, and the name of the service that sent it.
type Span struct {
	Service string
	*tracepb.Span
}

// Start listens on loopback until the test ends.
func Start(t testing.TB, options ...grpc.ServerOption) *Receiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return StartOn(t, listener, options...)
}

// StartOn is Start on a given listener, which it closes.
func StartOn(t testing.TB, listener net.Listener, options ...grpc.ServerOption) *Receiver {
	t.Helper()
	r := &Receiver{Address: listener.Addr().String(), came: make(chan struct{})}
	server := grpc.NewServer(options...)
	collector.RegisterTraceServiceServer(server, r)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		// A test may end before the server begins to serve.
		if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("the receiver of traces: %v", err)
		}
	})
	return r
}

// Export implements the collector's service.
func (r *Receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, request)
	close(r.came)
	r.came = make(chan struct{})
	return &collector.ExportTraceServiceResponse{}, nil
}

// Spans returns all spans received so far.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Span
	for _, request := range r.requests {
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					all = append(all, Span{texts(resource.GetResource().GetAttributes())["service.name"], span})
				}
			}
		}
	}
	return all
}

// Wait returns the spans of a service, or all if service is "", once there are
// n. It fails the test if they do not arrive.
func (r *Receiver) Wait(t testing.TB, service string, n int) []Span {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		came := r.came
		r.mu.Unlock()
		spans := slices.DeleteFunc(r.Spans(), func(s Span) bool { return service != "" && s.Service != service })
		if len(spans) >= n {
			return spans
		}
		select {
		case <-came:
		case <-deadline:
			t.Fatalf("%d spans of %s after 20 s, want %d; received: %v", len(spans), service, n, r.Spans())
		}
	}
}

// Bytes returns everything that was received, in its encoded form, for a test
// that searches it for forbidden data.
func (r *Receiver) Bytes(t testing.TB) []byte {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []byte
	for _, request := range r.requests {
		encoded, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, encoded...)
	}
	return all
}
