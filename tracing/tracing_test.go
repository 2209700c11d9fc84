package tracing_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/otlpreceiver"
	"keyward/tracing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// recordingCounter implements tracing.Counter.
type recordingCounter struct {
	mu                    sync.Mutex
	sent, failed, dropped int
}

func (a *recordingCounter) Sent(n int)    { a.add(&a.sent, n) }
func (a *recordingCounter) Failed(n int)  { a.add(&a.failed, n) }
func (a *recordingCounter) Dropped(n int) { a.add(&a.dropped, n) }

func (a *recordingCounter) add(to *int, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*to += n
}

func (a *recordingCounter) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprintf("sent %d, failed %d, dropped %d", a.sent, a.failed, a.dropped)
}

// newTracer makes a Tracer of the Config, whose Endpoint is a host and a port,
// and returns it with its counter.
func newTracer(t testing.TB, cfg tracing.Config) (*tracing.Tracer, *recordingCounter) {
	t.Helper()
	counted := &recordingCounter{}
	cfg.Endpoint, cfg.Counter = "http://"+cfg.Endpoint, counted
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	tracer, err := tracing.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tracer, counted
}

func closeTracer(t testing.TB, tracer *tracing.Tracer) {
	t.Helper()
	if err := tracer.Close(); err != nil {
		t.Error(err)
	}
}

const (
	traceA, spanA = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	traceB, spanB = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

	sampledA, unsampledA = "00-" + traceA + "-" + spanA + "-01", "00-" + traceA + "-" + spanA + "-00"
	sampledB, unsampledB = "00-" + traceB + "-" + spanB + "-01", "00-" + traceB + "-" + spanB + "-00"
)

func at() time.Time { return time.Date(2026, 11, 22, 18, 0, 0, 1000, time.UTC) }

// TestParent: the proxy's call is the first choice for the parent, then the
// request. A root span is only made if neither has a well-formed traceparent.
func TestParent(t *testing.T) {
	for name, c := range map[string]struct {
		call    string
		request []string
		sample  float64
		want    string // trace and parent; "new" for a root, "" for no span
	}{
		"the call's":                          {sampledA, nil, 0, traceA + " " + spanA},
		"the request's":                       {"", []string{sampledB}, 0, traceB + " " + spanB},
		"the call's before the request's":     {sampledA, []string{sampledB}, 0, traceA + " " + spanA},
		"not sampled":                         {unsampledA, nil, 1, ""},
		"not sampled, in the request":         {"", []string{unsampledB}, 1, ""},
		"the call's sampling flag":            {unsampledA, []string{sampledB}, 1, ""},
		"the call's is malformed":             {"nonsense", []string{sampledB}, 0, traceB + " " + spanB},
		"a later version":                     {"cc-" + traceA + "-" + spanA + "-01-more", nil, 0, traceA + " " + spanA},
		"none":                                {"", nil, 1, "new"},
		"none, without root spans":            {"", nil, 0, ""},
		"malformed":                           {"", []string{"00-" + traceA + "-" + spanA}, 1, "new"},
		"malformed, without root spans":       {"", []string{"00-" + traceA + "-" + spanA}, 0, ""},
		"of zeros":                            {"", []string{"00-" + strings.Repeat("0", 32) + "-" + spanA + "-01"}, 1, "new"},
		"the invalid version":                 {"", []string{"ff-" + traceA + "-" + spanA + "-01"}, 1, "new"},
		"twice":                               {"", []string{sampledA, sampledB}, 1, "new"},
		"in upper case":                       {"", []string{strings.ToUpper(sampledA)}, 0, ""},
		"of a megabyte":                       {"", []string{strings.Repeat("00-", 1<<20/3)}, 1, "new"},
		"the call's is empty between hyphens": {"---", nil, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			receiver := otlpreceiver.Start(t)
			tracer, _ := newTracer(t, tracing.Config{Endpoint: receiver.Address, Sample: c.sample})
			r := &authz.Request{TraceParent: c.call, Method: "GET"}
			for _, value := range c.request {
				r.Headers = append(r.Headers, authz.Header{Name: "traceparent", Value: value}, authz.Header{Name: "tracestate", Value: "vendor=secret"})
			}
			tracer.Observe(r, &authz.Decision{Reason: authz.OK, At: at()})
			closeTracer(t, tracer)
			if got := parents(receiver.Spans()); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// parents returns the trace and the parent of the only span.
func parents(spans []otlpreceiver.Span) string {
	var all []string
	for _, s := range spans {
		switch {
		case len(s.ParentSpanId) == 0 && len(s.TraceId) == 16:
			all = append(all, "new")
		default:
			all = append(all, hex.EncodeToString(s.TraceId)+" "+hex.EncodeToString(s.ParentSpanId))
		}
	}
	return strings.Join(all, ", ")
}

// TestSample: the configured share of root spans is recorded, within six
// standard deviations.
func TestSample(t *testing.T) {
	receiver := otlpreceiver.Start(t)
	tracer, counted := newTracer(t, tracing.Config{Endpoint: receiver.Address, Sample: 0.25})
	for range 4000 {
		tracer.Observe(&authz.Request{}, &authz.Decision{Reason: authz.OK, At: at()})
	}
	closeTracer(t, tracer)
	if n := len(receiver.Spans()); n < 836 || n > 1164 {
		t.Errorf("%d spans of 4000, want about 1000", n)
	}
	if counted.sent != len(receiver.Spans()) || counted.failed+counted.dropped > 0 {
		t.Errorf("%v; %d received", counted, len(receiver.Spans()))
	}
}

// TestSpan: a span has the listed facts about a decision, and nothing else.
func TestSpan(t *testing.T) {
	route := &authz.Route{Name: "items", Path: "/api"}
	key := &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, User: "alice", KeyID: "k_1", KeyName: "alice's laptop", Project: "p"}
	for name, c := range map[string]struct {
		request  authz.Request
		decision authz.Decision
		span     string
		want     map[string]string
	}{
		"allow": {
			authz.Request{Method: "GET"}, authz.Decision{Reason: authz.OK, Route: route, Principal: key}, "keyward.check",
			map[string]string{"http.request.method": "GET", "keyward.transport": "grpc", "keyward.decision": "allow", "keyward.reason": "ok",
				"keyward.route": "items", "keyward.auth_method": "api_key", "keyward.key_id": "k_1"},
		},
		"deny": {
			authz.Request{Method: "BREW", Transport: authz.TransportNginx}, authz.Decision{Reason: authz.InvalidToken, ID: "ABC", Route: &authz.Route{}}, "keyward.check",
			map[string]string{"http.request.method": "_OTHER", "keyward.transport": "nginx", "keyward.decision": "deny", "keyward.reason": "invalid_token",
				"keyward.route": "default", "keyward.decision_id": "ABC"},
		},
		"error": {
			authz.Request{Method: "get", Transport: authz.TransportVerify},
			authz.Decision{Reason: authz.Unavailable, ID: "ABC", Cause: errors.New("why"), Principal: &authz.Principal{AuthMethod: authz.AuthMethodJWT, User: "bob"}}, "keyward.verify",
			map[string]string{"http.request.method": "_OTHER", "keyward.transport": "verify", "keyward.decision": "error", "keyward.reason": "unavailable",
				"keyward.auth_method": "jwt", "keyward.decision_id": "ABC", "error.type": "unavailable"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			receiver := otlpreceiver.Start(t)
			tracer, _ := newTracer(t, tracing.Config{Endpoint: receiver.Address, Sample: 1, Version: "1.2.3"})
			c.decision.At, c.decision.Duration = at(), 1234*time.Nanosecond
			tracer.Observe(&c.request, &c.decision)
			closeTracer(t, tracer)
			span := receiver.Wait(t, "keyward", 1)[0]
			if got := span.All(); !maps.Equal(got, c.want) {
				t.Errorf("attributes %v, want %v", got, c.want)
			}
			if span.Name != c.span || span.Kind != tracepb.Span_SPAN_KIND_SERVER || len(span.Events)+len(span.Links) > 0 || span.TraceState != "" {
				t.Errorf("%v", span)
			}
			if begin := at().UnixNano(); span.StartTimeUnixNano != uint64(begin) || span.EndTimeUnixNano != uint64(begin)+1234 {
				t.Errorf("from %d to %d, want %d and 1234 more", span.StartTimeUnixNano, span.EndTimeUnixNano, begin)
			}
			failed := span.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR
			if failed != (c.decision.Outcome() == "error") {
				t.Errorf("status %v of a decision that is %s", span.Status, c.decision.Outcome())
			}
		})
	}
}

// TestNothingOfTheRequest: a word in each place of a request that a client or a
// proxy can fill is not in the exported bytes.
func TestNothingOfTheRequest(t *testing.T) {
	const secret = "s3cr3t"
	receiver := otlpreceiver.Start(t)
	tracer, _ := newTracer(t, tracing.Config{Endpoint: receiver.Address})
	r := &authz.Request{
		Method: secret, Scheme: secret, Host: secret, Target: "/" + secret + "?api_key=" + secret, Peer: secret, RequestID: secret, RouteName: secret,
		Headers: []authz.Header{
			{Name: "traceparent", Value: sampledA}, {Name: "tracestate", Value: "a=" + secret}, {Name: "baggage", Value: "a=" + secret},
			{Name: "authorization", Value: "Bearer " + secret}, {Name: "cookie", Value: "a=" + secret}, {Name: secret, Value: secret},
		},
	}
	principal := &authz.Principal{AuthMethod: authz.AuthMethodBasic, User: secret, KeyName: secret, Project: secret, Issuer: secret}
	for _, reason := range authz.Reasons() {
		tracer.Observe(r, &authz.Decision{Reason: reason, At: at(), Principal: principal, Cause: errors.New(secret), Set: r.Headers, RemoveQuery: []string{secret}})
	}
	closeTracer(t, tracer)
	if n := len(receiver.Wait(t, "keyward", len(authz.Reasons()))); n != len(authz.Reasons()) {
		t.Errorf("%d spans", n)
	}
	if strings.Contains(string(receiver.Bytes(t)), secret) {
		t.Errorf("the word was exported: %v", receiver.Spans()[0])
	}
}

// TestEnvironment: attributes of the resource come from the environment, as the
// specification says. Variables that would change the tracing itself are
// ignored.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_SERVICE_NAME": "edge-auth", "OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=keyward-0",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:1", "OTEL_TRACES_SAMPLER": "always_off", "OTEL_BSP_MAX_QUEUE_SIZE": "1",
	} {
		t.Setenv(name, value)
	}
	receiver := otlpreceiver.Start(t)
	tracer, _ := newTracer(t, tracing.Config{Endpoint: receiver.Address, Sample: 1})
	for range 10 {
		tracer.Observe(&authz.Request{}, &authz.Decision{At: at()})
	}
	closeTracer(t, tracer)
	receiver.Wait(t, "edge-auth", 10)
	if !strings.Contains(string(receiver.Bytes(t)), "keyward-0") {
		t.Error("no k8s.pod.name")
	}
	if err := os.Setenv("OTEL_RESOURCE_ATTRIBUTES", "no pair"); err != nil {
		t.Fatal(err)
	}
	if _, err := tracing.New(tracing.Config{Endpoint: "http://" + receiver.Address, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("malformed attributes were accepted")
	}
}

// hangingListener accepts connections and never sends anything.
func hangingListener(t testing.TB) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}
