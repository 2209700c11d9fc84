package server

import (
	"context"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/tap"
)

// limitCall gives a call a deadline where its client has set none, or a later
// one: a message that never ends would be kept for as long as its connection
// lives. Envoy sets one, and its calls pass as they are.
func limitCall(ctx context.Context, call *tap.Info) (context.Context, error) {
	timeout := callTimeout
	if call.FullMethodName == healthpb.Health_Watch_FullMethodName {
		timeout = connectionAge // a watcher waits for a change
	}
	limit := time.Now().Add(timeout)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(limit) {
		return ctx, nil
	}
	bounded, cancel := context.WithDeadline(ctx, limit)
	context.AfterFunc(ctx, cancel) // the call has ended
	return bounded, nil
}
