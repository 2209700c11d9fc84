package server_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/internal/eventually"
	"keyward/internal/otlpreceiver"
	"keyward/internal/rawcheck"
	"keyward/store"

	"google.golang.org/grpc/metadata"
)

const (
	clientsTrace = "0af7651916cd43dd8448eb211c80319c"
	clientsSpan  = "b7ad6b7169203331"
	envoysSpan   = "00f067aa0ba902b7"

	clients   = "00-" + clientsTrace + "-" + clientsSpan + "-01"
	envoys    = "00-" + clientsTrace + "-" + envoysSpan + "-01"
	unsampled = "00-" + clientsTrace + "-" + envoysSpan + "-00"
)

// tracedConfig traces to the receiver, with the HTTP listener open and a line of more.
func tracedConfig(address, more string) string {
	return strings.Replace(baseConfig, `http: ""`, `http: "unix://DIR/http.sock"`, 1) + fmt.Sprintf("tracing: {endpoint: \"http://%s\"}\n%s\n", address, more)
}

// lineage is the trace and the parent of a span.
func lineage(s otlpreceiver.Span) string {
	return hex.EncodeToString(s.TraceId) + " " + hex.EncodeToString(s.ParentSpanId)
}

// traced asks about a request by a call that has the traceparent in its
// metadata; none for "", and several with spaces between them.
func (r *running) traced(call string, request rawcheck.Request) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for each := range strings.FieldsSeq(call) {
		ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", each)
	}
	answer, err := rawcheck.Ask(ctx, r.conn, request)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.String()
}

// http asks on the HTTP listener and returns the status.
func (r *running) http(path string, headers ...[2]string) int {
	r.t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: dialUnix(r.path("http.sock")), DisableKeepAlives: true}}
	request, err := http.NewRequest("GET", "http://keyward"+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range headers {
		request.Header.Add(h[0], h[1])
	}
	response, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// TestTraced: on each listener a check's span is a child of the proxy's, if
// the proxy says one, else of the client's; verdicts are the same with and without.
func TestTraced(t *testing.T) {
	receiver := otlpreceiver.Start(t)
	var key string
	r := start(t, tracedConfig(receiver.Address, ""), func(r *running) { key = r.create(store.KeyParams{User: "alice"}) })
	r.becomes("/", key, 200)
	authorization := [2]string{"authorization", "Bearer " + key}
	about := func(headers ...[2]string) rawcheck.Request {
		return rawcheck.Request{Method: "GET", Target: "/x", Headers: append(headers, authorization)}
	}
	var want []string
	for _, c := range []struct {
		name, call string
		headers    [][2]string
		parent     string // "" for no span
	}{
		{"Envoy traces", envoys, [][2]string{{"traceparent", clients}}, envoysSpan},
		{"Envoy traces, and shows no header", envoys, nil, envoysSpan},
		{"Envoy does not trace", "", [][2]string{{"traceparent", clients}}, clientsSpan},
		{"Envoy does not record", unsampled, [][2]string{{"traceparent", clients}}, ""},
		{"of two calls at once", envoys + " " + envoys, [][2]string{{"traceparent", clients}}, clientsSpan},
		{"without a trace", "", nil, ""},
		{"malformed", "00-x", [][2]string{{"traceparent", clients + "-x"}}, ""},
	} {
		if got := r.traced(c.call, about(c.headers...)); got != "200 ok" {
			t.Errorf("%s: %s", c.name, got)
		}
		if c.parent != "" {
			want = append(want, clientsTrace+" "+c.parent)
		}
	}
	for _, path := range []string{"/authz/nginx", "/authz/forward", "/authz/envoy/x", "/v1/auth/verify"} {
		headers := [][2]string{
			{"X-Original-Method", "GET"}, {"X-Original-URI", "/x"}, {"X-Forwarded-Method", "GET"}, {"X-Forwarded-Uri", "/x"}, {"X-Forwarded-Host", "a"}, authorization,
		}
		for _, parent := range []string{"", clients} {
			if got := r.http(path, append(headers, [2]string{"traceparent", parent})...); got != 200 {
				t.Errorf("%s with traceparent %q: %d", path, parent, got)
			}
		}
		want = append(want, clientsTrace+" "+clientsSpan)
	}
	spans := receiver.Wait(t, "keyward", len(want))
	got := make([]string, len(spans))
	for i, span := range spans {
		got[i] = lineage(span)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("spans\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	eventually.Succeeds(t, func() error {
		if _, metrics := r.get("/metrics"); !strings.Contains(metrics, fmt.Sprintf("\nkeyward_spans_total{result=\"sent\"} %d\n", len(want))) {
			return fmt.Errorf("the metric does not say %d sent", len(want))
		}
		return nil
	})
}

// TestTracingReloads: it goes on and off, and to another collector, by a reload.
func TestTracingReloads(t *testing.T) {
	first, second := otlpreceiver.Start(t), otlpreceiver.Start(t)
	r := start(t, tracedConfig(first.Address, ""), func(r *running) { r.create(store.KeyParams{}) })
	request := rawcheck.Request{Method: "GET", Target: "/x"}
	reloads := 0
	becomes := func(text string) {
		t.Helper()
		r.configure(text)
		reloads++
		r.reload <- struct{}{}
		eventually.Succeeds(t, func() error {
			if n := strings.Count(r.log.String(), `"configuration reloaded"`); n < reloads {
				return fmt.Errorf("%d reloads", n)
			}
			return nil
		})
	}
	r.traced(clients, request)
	becomes(tracedConfig(second.Address, "")) // what waits goes to the first one still
	if n := len(first.Spans()); n != 1 {
		t.Errorf("the first collector has %d spans", n)
	}
	r.traced(clients, request)
	r.traced(clients, request)
	off, _, _ := strings.Cut(tracedConfig(second.Address, ""), "tracing:")
	becomes(off)
	if n := len(second.Spans()); n != 2 {
		t.Errorf("the second collector has %d spans", n)
	}
	r.traced(clients, request)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if a, b := len(first.Spans()), len(second.Spans()); a != 1 || b != 2 {
		t.Errorf("%d and %d spans at the end, want 1 and 2", a, b)
	}
}

// TestCollectorHangs: checks go on as ever, and the server ends in time.
func TestCollectorHangs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	r := start(t, tracedConfig(listener.Addr().String(), ""), func(r *running) { r.create(store.KeyParams{}) })
	began := time.Now()
	for range 4500 { // more than the queue holds
		r.traced(clients, rawcheck.Request{Method: "GET", Target: "/x"})
	}
	t.Logf("4500 checks in %v", time.Since(began))
	_, metrics := r.get("/metrics")
	if !strings.Contains(metrics, `keyward_spans_total{result="sent"} 0`) || strings.Contains(metrics, `keyward_spans_total{result="dropped"} 0`) {
		t.Error("of 4500 spans some were sent, or none was dropped")
	}
	began = time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 8*time.Second { // of which the collector has two
		t.Errorf("the end took %v", took)
	}
}
