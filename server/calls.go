package server

import (
	"context"
	"sync/atomic"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/tap"
)

// callLimit gives a call a deadline where its client has set none, or a later
// one: a message that never ends would be kept for as long as its connection
// lives. Envoy sets one, and its calls pass as they are.
type callLimit struct {
	began time.Time
	// seen is a time that has passed, since began. A deadline near it is near now
	// as well, so most calls do without a look at the clock.
	seen atomic.Int64
}

func newCallLimit() *callLimit { return &callLimit{began: time.Now()} }

// limit is a tap.ServerInHandle.
func (l *callLimit) limit(ctx context.Context, call *tap.Info) (context.Context, error) {
	deadline, has := ctx.Deadline()
	if has && deadline.Sub(l.began) <= time.Duration(l.seen.Load())+callTimeout {
		return ctx, nil
	}
	timeout := callTimeout
	if call.FullMethodName == healthpb.Health_Watch_FullMethodName {
		timeout = connectionAge // a watcher waits for a change
	}
	now := time.Now()
	l.seen.Store(int64(now.Sub(l.began)))
	if has && deadline.Before(now.Add(timeout)) {
		return ctx, nil
	}
	bounded, cancel := context.WithDeadline(ctx, now.Add(timeout))
	context.AfterFunc(ctx, cancel) // the call has ended
	return bounded, nil
}
