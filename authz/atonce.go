package authz

import (
	"context"
	"slices"

	"keyward/authz/nowait"
)

// atOnce is the context of checks for callers that cannot wait.
var atOnce = nowait.Context(context.Background())

// CheckAtOnce is Check for a caller that cannot wait, since its thread serves other
// requests too. It reports whether it decided. It did not if a step would have had
// to wait, keys are not loaded, or something failed (503): the Decision then denies,
// no observer has been notified, and the caller asks elsewhere or calls
// DenyUndecided.
func (c *Checker) CheckAtOnce(r *Request) (d *Decision, decided bool) {
	d = c.newDecision(r)
	d.Reason = c.evaluate(atOnce, r, d)
	if d.Outcome() == "error" {
		return d, false
	}
	return c.finish(r, d), true
}

// DenyUndecided denies a request that CheckAtOnce did not decide, and notifies the
// observers.
func (c *Checker) DenyUndecided(r *Request, d *Decision) *Decision {
	if d.Outcome() != "error" {
		d.Reason = Internal // the caller was wrong, and must not let the request in
	}
	return c.finish(r, d)
}

// Learn verifies the credential of a request that CheckAtOnce did not decide, and
// waits for that. What it finds is cached, so that the next request with the
// credential can be decided at once. No observer is notified.
func (c *Checker) Learn(ctx context.Context, r *Request) {
	d := c.newDecision(r)
	d.Reason = c.authenticate(ctx, r, d)
}

// Clone returns a copy of what the transport filled in.
func (r *Request) Clone() *Request {
	return &Request{
		Transport: r.Transport, Method: r.Method, Scheme: r.Scheme, Host: r.Host, Target: r.Target, Peer: r.Peer, RequestID: r.RequestID,
		TraceParent: r.TraceParent, RouteName: r.RouteName, FixedTarget: r.FixedTarget, Headers: slices.Clone(r.Headers),
	}
}
