package authz

import (
	"context"
	"time"
)

// Limiter counts requests. An error means that it cannot decide; the request is
// then denied.
type Limiter interface {
	// Allow counts a request that nothing else stands against, for d.Principal
	// on d.Route, or refuses it. It returns what is left of the limit that is tightest.
	Allow(ctx context.Context, r *Request, d *Decision) (Quota, error)
	// AllowAttempt decides whether the client may present a credential at all, or
	// has presented too many invalid ones. It is asked before anything is verified.
	AllowAttempt(ctx context.Context, r *Request, now time.Time) (Quota, error)
	// RecordFailure counts a credential that was not valid.
	RecordFailure(ctx context.Context, r *Request, now time.Time)
}

// Quota is what is left of a limit, and the zero Quota that there is none.
type Quota struct {
	Name    string // of the limit; "" where there is none
	Rate    Rate
	Refused bool
	// Limit is how many there may be at once, Remaining how many more now.
	Limit, Remaining int
	// RetryAfter is how long until there may be one more, where it was refused;
	// ResetAfter is how long until there may be as many as Limit.
	RetryAfter, ResetAfter time.Duration
}
