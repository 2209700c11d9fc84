package extauthz

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// lastLogLine keeps what a log line would say about the last decision.
type lastLogLine struct {
	mu   sync.Mutex
	line string
}

// Observe implements authz.Observer.
func (w *lastLogLine) Observe(r *authz.Request, d *authz.Decision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line = fmt.Sprintf("%s %s %s%s", d.Reason, r.Method, r.Host, r.Target)
	if d.Cause != nil {
		w.line += ": " + d.Cause.Error()
	}
}

func (w *lastLogLine) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.line
}

// dialServer returns a connection to a server that records its last log line.
func dialServer(t *testing.T, w *lastLogLine) *grpc.ClientConn {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "grpc.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(ServerCodec(), grpc.MaxRecvMsgSize(MaxReadable))
	newAllowAllService(t, w).Register(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix://"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// requestOfLength returns a valid request with a body that gives it this
// length.
func requestOfLength(length int) *authv3.CheckRequest {
	m := requestWithNote("")
	for proto.Size(m) != length {
		body := len(m.Attributes.Request.Http.RawBody) + length - proto.Size(m)
		m.Attributes.Request.Http.RawBody = make([]byte, body)
	}
	return m
}

// TestRequestTooLarge checks that a message is checked up to MaxMessage and
// refused beyond it with a reason of its own. The log has the request if the
// message could be read.
func TestRequestTooLarge(t *testing.T) {
	w := &lastLogLine{}
	client := authv3.NewAuthorizationClient(dialServer(t, w))
	const request = "GET api.example.com:8080/a/b?c=d"
	for _, test := range []struct {
		length int
		code   codes.Code
		status int // 0 is an allow
		logged string
	}{
		{1 << 10, codes.OK, 0, "ok " + request},
		{MaxMessage, codes.OK, 0, "ok " + request},
		{MaxMessage + 1, codes.OK, 503, "request_too_large " + request + ": the CheckRequest is 16777217 bytes long"},
		{MaxReadable, codes.OK, 503, "request_too_large " + request + ": the CheckRequest is 33554432 bytes long"},
		{MaxReadable + 1, codes.ResourceExhausted, 0, "request_too_large  : rpc error: code = ResourceExhausted desc = grpc: received message larger than max (33554433 "},
		{1 << 10, codes.OK, 0, "ok " + request},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		answer, err := client.Check(ctx, requestOfLength(test.length))
		cancel()
		if status.Code(err) != test.code {
			t.Fatalf("%d bytes: %v, want code %s", test.length, err, test.code)
		}
		denied := answer.GetDeniedResponse()
		if got := int(denied.GetStatus().GetCode()); got != test.status || err == nil && test.status == 0 && answer.GetOkResponse() == nil {
			t.Errorf("%d bytes: %v", test.length, answer)
		}
		if test.status != 0 && !strings.Contains(denied.GetBody(), `"reason":"request_too_large"`) {
			t.Errorf("%d bytes: body %s", test.length, denied.GetBody())
		}
		if logged := w.text(); !strings.HasPrefix(logged, test.logged) {
			t.Errorf("%d bytes: the log has %q, want %q", test.length, logged, test.logged)
		}
	}
}

// TestUnreadableGetsADenial checks that a message that is not a CheckRequest
// gets a denial with an id, and not a gRPC status without information.
func TestUnreadableGetsADenial(t *testing.T) {
	w := &lastLogLine{}
	conn := dialServer(t, w)
	var answer authv3.CheckResponse
	// Read as a CheckRequest, its text is a field that ends beyond the message.
	err := conn.Invoke(t.Context(), "/"+ServiceName+"/Check", &healthpb.HealthCheckRequest{Service: "zzz"}, &answer)
	if err != nil || answer.GetDeniedResponse().GetStatus().GetCode() != 503 || !strings.Contains(answer.GetDeniedResponse().GetBody(), `"decision_id":"id"`) {
		t.Errorf("%v, %v", &answer, err)
	}
	if said := w.text(); !strings.HasPrefix(said, "internal ") || !strings.HasSuffix(said, errWire.Error()) {
		t.Errorf("the log has %q", said)
	}
}

// TestIncompleteMessage checks the reason of a call that ends before its
// message.
func TestIncompleteMessage(t *testing.T) {
	for code, want := range map[codes.Code]authz.Reason{
		codes.DeadlineExceeded: authz.Overloaded, codes.Canceled: authz.Overloaded, codes.Internal: authz.Internal, codes.ResourceExhausted: authz.RequestTooLarge,
	} {
		if got := readErrorReason(status.Error(code, "")); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
}
