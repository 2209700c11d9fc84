// Package observed answers what operators ask about the checks of this process: why a
// request was denied, which were denied lately, and how many requests there were.
package observed

import (
	"context"
	"errors"

	"keyward/manage/access"
	"keyward/manage/denials"
	"keyward/manage/fault"
	"keyward/usage"
)

// Config is what Checks are made of.
type Config struct {
	// MayRead refuses, and records, an actor without keyward:read.
	MayRead func(ctx context.Context, a access.Actor, what string) error
	// Denials are the recent denials of this process, and Current is what decides now;
	// nil: none are known.
	Denials *denials.Recent
	Current denials.Current
	// Days returns the requests with keys on each of the last 30 days, today first; nil:
	// that is not known.
	Days func() ([]usage.Day, error)
}

// Checks are what is known of them. All methods need keyward:read.
type Checks struct{ cfg Config }

// New returns Checks.
func New(cfg Config) *Checks { return &Checks{cfg} }

// Decision returns a recent denial of this process, and what would be decided for the
// request now; nil if that cannot be decided again.
func (c *Checks) Decision(ctx context.Context, a access.Actor, id string) (*denials.Denial, *denials.Now, error) {
	if err := c.cfg.MayRead(ctx, a, "decisions"); err != nil {
		return nil, nil, err
	}
	var denial *denials.Denial
	if c.cfg.Denials != nil {
		denial = c.cfg.Denials.Get(id)
	}
	if denial == nil {
		return nil, nil, fault.Refuse(fault.NotFound, "this process has no denial of that id, or has it no more")
	}
	now, err := c.recheck(ctx, denial)
	return denial, now, err
}

// DecisionOfLine is Decision for a line of the decision log, as of another process.
func (c *Checks) DecisionOfLine(ctx context.Context, a access.Actor, line []byte) (*denials.Denial, *denials.Now, error) {
	if err := c.cfg.MayRead(ctx, a, "decisions"); err != nil {
		return nil, nil, err
	}
	denial, err := denials.Parse(line)
	if err != nil {
		return nil, nil, fault.InvalidMembers(fault.FieldError{Pointer: "/line", Detail: err.Error()})
	}
	now, err := c.recheck(ctx, denial)
	return denial, now, err
}

// recheck decides a denied request again; nil if that cannot be done.
func (c *Checks) recheck(ctx context.Context, denial *denials.Denial) (*denials.Now, error) {
	now, err := denial.Recheck(ctx, c.cfg.Current)
	if errors.Is(err, denials.ErrNotRepeatable) {
		err = nil
	}
	return now, fault.Of(err)
}

// RecentDenials returns up to n denials of this process, the newest first.
func (c *Checks) RecentDenials(ctx context.Context, a access.Actor, n int) ([]*denials.Denial, error) {
	if err := c.cfg.MayRead(ctx, a, "decisions"); err != nil || c.cfg.Denials == nil {
		return nil, err
	}
	return c.cfg.Denials.Latest(n), nil
}

// RequestsPerDay returns the requests with keys on each of the last 30 days, today first;
// nil if that is not known.
func (c *Checks) RequestsPerDay(ctx context.Context, a access.Actor) ([]usage.Day, error) {
	if err := c.cfg.MayRead(ctx, a, "usage"); err != nil || c.cfg.Days == nil {
		return nil, err
	}
	days, err := c.cfg.Days()
	return days, fault.Of(err)
}
