package tracing

import (
	"context"

	"keyward/authz"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// parentOf returns the parent of a check's span. It is not valid if there is
// none.
//
// The proxy's own call comes first: Envoy makes a client span for it and sends
// its traceparent in the metadata. Without one, the parent is that of the
// checked request, which the client or an earlier proxy sent. Over HTTP both
// are the same header. A malformed traceparent is ignored.
func parentOf(r *authz.Request) trace.SpanContext {
	if parent := parse(r.TraceParent); parent.IsValid() {
		return parent
	}
	header, _ := r.Header("traceparent")
	return parse(header)
}

func parse(header string) trace.SpanContext {
	if header == "" {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), traceparent(header)))
}

// traceparent is a carrier of that header only. It does not pass on a
// tracestate, which may contain anything and which no later span in the trace
// needs.
type traceparent string

// Get implements propagation.TextMapCarrier.
func (t traceparent) Get(name string) string {
	if name == "traceparent" {
		return string(t)
	}
	return ""
}

// Set implements propagation.TextMapCarrier; it does nothing.
func (traceparent) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (traceparent) Keys() []string { return []string{"traceparent"} }
