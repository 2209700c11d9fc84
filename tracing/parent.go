package tracing

import (
	"context"

	"keyward/authz"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// parentOf is the span that a check's is the child of; not valid where there is none.
//
// First comes that of the call by which the proxy asks: Envoy makes a client
// span of it and sends its traceparent in the call's metadata. Without one it is
// that of the request asked about, which the client or a proxy before has sent.
// Over HTTP both are the same header. One that is malformed counts as none.
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

// traceparent is a carrier of that header alone. A tracestate is left where it
// is: it may hold anything, and nobody after us in the trace needs it.
type traceparent string

// Get implements propagation.TextMapCarrier.
func (t traceparent) Get(name string) string {
	if name == "traceparent" {
		return string(t)
	}
	return ""
}

// Set implements propagation.TextMapCarrier; there is nothing to set.
func (traceparent) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (traceparent) Keys() []string { return []string{"traceparent"} }
