package authz

import (
	"context"
	"time"
)

// Limiter counts requests. An error means that it can't tell; nobody passes on one.
type Limiter interface {
	// Admit counts a request that nothing else stands against, for d.Principal
	// on d.Route, or refuses it. It returns what is left of the limit that is tightest.
	Admit(ctx context.Context, r *Request, d *Decision) (Quota, error)
	// MayTry tells whether the client may show a credential at all, after so
	// many that were no good. Nothing is verified before.
	MayTry(ctx context.Context, r *Request, now time.Time) (Quota, error)
	// Failed counts a credential that was no good.
	Failed(ctx context.Context, r *Request, now time.Time)
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

// admit is the last step: what was allowed counts, and may be one too many.
func (c *Checker) admit(ctx context.Context, r *Request, d *Decision, reason Reason, p *Principal) Reason {
	d.Principal = p
	if c.cfg.Limiter != nil {
		var err error
		if d.Quota, err = c.cfg.Limiter.Admit(ctx, r, d); err != nil {
			return c.deny(r, d, "rate", Unavailable, err)
		}
		if d.Quota.Refused {
			return c.deny(r, d, "rate", RateLimited, nil)
		}
	}
	return c.allow(r, d, reason)
}

// try is verify for who has not failed too often.
func (c *Checker) try(ctx context.Context, r *Request, d *Decision) (*Principal, Reason, error) {
	r.credential.Bind(r)
	if c.cfg.Limiter == nil {
		return c.verify(ctx, r, d.At)
	}
	quota, err := c.cfg.Limiter.MayTry(ctx, r, d.At)
	if err != nil {
		return nil, Unavailable, err
	}
	if quota.Refused {
		d.Quota = quota
		return nil, RateLimited, nil
	}
	p, reason, err := c.verify(ctx, r, d.At)
	if reason.Status() == 401 {
		c.cfg.Limiter.Failed(ctx, r, d.At)
	}
	return p, reason, err
}
