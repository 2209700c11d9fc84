package extauthz

import (
	"context"

	"google.golang.org/grpc/metadata"
)

// callTraceParent returns the trace context of the call itself. An Envoy that
// traces makes a client span for each call and sends it in the call's metadata;
// the headers of the client's request have its parent. If there are several
// values, W3C Trace Context says to use none.
func callTraceParent(ctx context.Context) string {
	if values := metadata.ValueFromIncomingContext(ctx, "traceparent"); len(values) == 1 {
		return values[0]
	}
	return ""
}
