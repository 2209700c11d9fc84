package ratelimit

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
)

// Rate is how often something may be done.
type Rate = authz.Rate

// Limit is one limit that a request is subject to.
type Limit struct {
	Name   string // which it is, of a closed set: for RateLimit-Policy and metrics
	Bucket Bucket // whose count it is
	Rate   Rate
	Shadow bool // counted, and denies no request
	// Deferred are requests that were let in elsewhere: Take charges them first,
	// whether or not it refuses this one, as far as the bucket has space.
	// They are MaxDeferred at most.
	Deferred int
}

// Result is what came of one limit. The zero Result refuses.
type Result struct {
	Allowed   bool // by this limit alone, and by a shadow limit if it were none
	Limit     int  // how many a full bucket allows: the burst
	Remaining int  // how many more it takes now, without this one if that was charged
	Applied   int  // how many of those Deferred were charged
	// RetryAfter is how long until it takes one more, where it was not allowed.
	RetryAfter time.Duration
	// ResetAfter is how long until it is full, without further requests.
	ResetAfter time.Duration
}

// Store keeps buckets. It is safe for use by many goroutines.
//
// Any error means that it could not tell: ErrLimits, ErrRate, or the failure of
// a network. The request is then denied.
type Store interface {
	// Take tests all limits and charges all of them, or none if one refuses.
	// results gets an entry for each limit and must have room for it. Take
	// returns the limit that answers for a refusal, NotRefused without one.
	//
	// A shadow limit is charged when the others are, unless it would have
	// refused. A bucket that is named twice is charged once.
	Take(ctx context.Context, now time.Time, limits []Limit, results []Result) (refused int, err error)
	// Peek is Take that charges nothing.
	Peek(ctx context.Context, now time.Time, limits []Limit, results []Result) (refused int, err error)
	// Reset refills buckets.
	Reset(ctx context.Context, buckets ...Bucket) error
}

// NotRefused is what Take returns when all limits let the request pass.
const NotRefused = -1

// MaxLimits is how many limits a request may be subject to.
const MaxLimits = 4

// ErrLimits is a mistake of the caller's.
var ErrLimits = errors.New("ratelimit: more limits than MaxLimits, or too few results")

// MostRestrictive returns the limit that answers: of those that refuse the one that does
// for longest, else the one of which the least remains. Shadow limits do not
// answer; where there are no others it is -1.
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

// Refused is the limit that answers for a refusal, NotRefused without one.
func Refused(limits []Limit, results []Result) int {
	if i := MostRestrictive(limits, results); i >= 0 && !results[i].Allowed {
		return i
	}
	return NotRefused
}

// CheckLimits returns ErrLimits if a store cannot take that many limits at once,
// or if there are fewer results than limits.
func CheckLimits(limits []Limit, results []Result) error {
	if len(limits) > MaxLimits || len(results) < len(limits) {
		return ErrLimits
	}
	return nil
}
