package authz

import (
	"context"
	"time"
)

// Limiter counts requests. An error means that it cannot decide; the request is
// then denied.
type Limiter interface {
	// Allow counts a request of d.Principal on d.Route that has passed all
	// other checks, or refuses it. It returns the state of the most restrictive
	// limit.
	Allow(ctx context.Context, r *Request, d *Decision) (Quota, error)
	// AllowAttempt decides whether the client may present a credential at all,
	// or has presented too many invalid ones. It is called before anything is
	// verified.
	AllowAttempt(ctx context.Context, r *Request, now time.Time) (Quota, error)
	// RecordFailure counts a credential that was not valid.
	RecordFailure(ctx context.Context, r *Request, now time.Time)
}

// Quota is what remains of a limit. The zero Quota means that there is no
// limit.
type Quota struct {
	Name    string // of the limit; "" if there is none
	Rate    Rate
	Refused bool
	// Limit is the number of requests that may come at once, Remaining the
	// number that may still come now.
	Limit, Remaining int
	// RetryAfter is the time until one more request is allowed, if this one was
	// refused. ResetAfter is the time until Limit requests are allowed again.
	RetryAfter, ResetAfter time.Duration
}
