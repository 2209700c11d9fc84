package authz

import "context"

// Authenticate checks the request's credential alone, for a caller that asks
// about its own credential. Route, path, scope and rate do not matter. An allow
// has the principal, and nothing to set or to remove.
func (c *Checker) Authenticate(ctx context.Context, r *Request) *Decision {
	d := c.newDecision(r)
	d.Reason = c.authenticate(ctx, r, d)
	return c.finish(r, d)
}

// authenticate is evaluate without the steps that depend on the route.
func (c *Checker) authenticate(ctx context.Context, r *Request, d *Decision) (reason Reason) {
	defer recoverToDenial(d, &reason)
	if reason, err := c.checkReady(ctx); reason != OK {
		return c.deny(r, d, "ready", reason, err)
	}
	if !c.AllowsScheme(r) {
		return c.deny(r, d, "https", HTTPSRequired, nil)
	}
	if reason := c.cfg.Sources.read(r); reason != OK {
		return c.deny(r, d, "credential", reason, c.cfg.Sources.cause(r, reason))
	}
	p, reason, err := c.verify(ctx, r, d, c.cfg.Verifier)
	if d.Principal = p; reason != OK {
		return c.deny(r, d, "credential", reason, err)
	}
	return OK
}

// AuthenticateSecret is Authenticate for a secret that the caller took from another
// place than the request's credentials, such as a code in a link, and that v verifies.
// The limit of failed attempts holds for it as for credentials. It does not wait until
// keys are loaded: the first administrator has none.
//
// Observers log the request's target: the caller leaves the secret out of it.
func (c *Checker) AuthenticateSecret(ctx context.Context, r *Request, secret Secret, v Verifier) *Decision {
	d := c.newDecision(r)
	r.credential = Credential{Secret: secret}
	d.Reason = c.authenticateSecret(ctx, r, d, v)
	return c.finish(r, d)
}

func (c *Checker) authenticateSecret(ctx context.Context, r *Request, d *Decision, v Verifier) (reason Reason) {
	defer recoverToDenial(d, &reason)
	p, reason, err := c.verify(ctx, r, d, v)
	if d.Principal = p; reason != OK {
		return c.deny(r, d, "credential", reason, err)
	}
	return OK
}

// RecordFailure counts the request as one with an invalid credential, for a caller
// that tried one in another way than by presenting it.
func (c *Checker) RecordFailure(ctx context.Context, r *Request) {
	if c.cfg.Limiter != nil {
		r.trustedHops = c.cfg.TrustedHops
		c.cfg.Limiter.RecordFailure(ctx, r, c.cfg.Now())
	}
}

// ClientOf returns the client of a request that is not checked, as checks find it.
func (c *Checker) ClientOf(r *Request) RawAddress {
	r.trustedHops = c.cfg.TrustedHops
	return r.Client()
}
