package ratelimit

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
)

// Rate is how often something may happen.
type Rate = authz.Rate

// Limit is one limit that a request is subject to.
type Limit struct {
	Name   string // of a closed set, for RateLimit-Policy and metrics
	Bucket Bucket // of the subject under this limit
	Rate   Rate
	Shadow bool // counted but not enforced
	// Deferred is the number of requests that were allowed elsewhere. Take
	// charges them first, as far as the bucket has space, whether or not it
	// refuses this request. It is at most MaxDeferred.
	Deferred int
}

// MaxDeferred bounds the deferred requests of one request, so that it does not
// occupy a store that many replicas use.
const MaxDeferred = 1000

// Result is the outcome of one limit. The zero Result refuses.
type Result struct {
	Allowed   bool // by this limit alone; for a shadow limit, as if it were enforced
	Limit     int  // requests that a full bucket allows: the burst
	Remaining int  // requests that it allows now, after this one if that was charged
	Applied   int  // deferred requests that were charged
	// RetryAfter is the time until one more request is allowed, if this one was
	// not.
	RetryAfter time.Duration
	// ResetAfter is the time until the bucket is full, without further
	// requests.
	ResetAfter time.Duration
}

// Store keeps buckets. It is safe for concurrent use.
//
// An error means that the store could not decide: ErrLimits, ErrRate, or a
// network failure. The request is then denied.
type Store interface {
	// Take tests all limits and charges all of them, or none if one refuses.
	// results must have an entry for each limit, which Take fills in. Take
	// returns the limit that is reported for a refusal, or NotRefused.
	//
	// A shadow limit is charged when the others are, unless it would have
	// refused. A bucket that is named twice is charged once.
	Take(ctx context.Context, now time.Time, limits []Limit, results []Result) (refused int, err error)
	// Peek is like Take but charges nothing.
	Peek(ctx context.Context, now time.Time, limits []Limit, results []Result) (refused int, err error)
	// Reset refills buckets.
	Reset(ctx context.Context, buckets ...Bucket) error
}

// NotRefused is what Take returns if all limits allow the request.
const NotRefused = -1

// MaxLimits is the maximum number of limits of a request.
const MaxLimits = 4

// ErrLimits reports a mistake of the caller.
var ErrLimits = errors.New("ratelimit: more limits than MaxLimits, or too few results")

// MostRestrictive returns the limit to report: of those that refuse, the one
// that refuses for longest; if none refuses, the one with the least remaining.
// Shadow limits are not reported; if there are no others, it returns -1.
func MostRestrictive(limits []Limit, results []Result) int {
	best := -1
	for i := range limits {
		if !limits[i].Shadow && (best < 0 || results[i].isStricter(&results[best])) {
			best = i
		}
	}
	return best
}

func (r *Result) isStricter(other *Result) bool {
	switch {
	case r.Allowed != other.Allowed:
		return !r.Allowed
	case r.RetryAfter != other.RetryAfter:
		return r.RetryAfter > other.RetryAfter
	case r.Remaining != other.Remaining:
		return r.Remaining < other.Remaining
	default:
		return r.ResetAfter > other.ResetAfter
	}
}

// Refused returns the limit to report for a refusal, or NotRefused.
func Refused(limits []Limit, results []Result) int {
	if i := MostRestrictive(limits, results); i >= 0 && !results[i].Allowed {
		return i
	}
	return NotRefused
}

// CheckLimits returns ErrLimits if there are more limits than a store can take
// at once, or fewer results than limits.
func CheckLimits(limits []Limit, results []Result) error {
	if len(limits) > MaxLimits || len(results) < len(limits) {
		return ErrLimits
	}
	return nil
}
