package extauthz

import (
	"context"

	"google.golang.org/grpc/metadata"
)

// callersTraceParent is the trace context of the call itself. An Envoy that
// traces makes a client span of each call, and says that span in the call's
// metadata; the headers of the request asked about have the span before, the
// client's. Of several it is none, as W3C Trace Context has it.
func callersTraceParent(ctx context.Context) string {
	if values := metadata.ValueFromIncomingContext(ctx, "traceparent"); len(values) == 1 {
		return values[0]
	}
	return ""
}
