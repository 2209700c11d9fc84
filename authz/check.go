// Package authz is the core of the server. It defines requests, credentials,
// principals, paths, scopes and decisions, and the order in which a request is
// checked. It knows no wire format, reads no file and makes no network request.
// Everything it needs from other packages comes in through small interfaces.
package authz

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/authz/urlpath"
	"keyward/chars"
)

// Policy holds the operator's rules about hosts, paths and methods.
type Policy interface {
	// Route returns the route that applies to the request. Any reason but OK
	// denies the request; the route, if there is one, then gives the error
	// style.
	Route(r *Request, path urlpath.Path) (*Route, Reason)
	// Authorize reports whether the principal may use the route for the path.
	// It returns OK, or the reason to deny.
	Authorize(p *Principal, path urlpath.Path, route *Route) Reason
}

// Verifier verifies credentials.
type Verifier interface {
	// Verify returns the principal that the credential stands for. The error is
	// ErrNotMine if the verifier does not check such a credential, and a
	// *CredentialError if the credential is not valid. Any other error means
	// that the verifier could not decide. Verify must not keep the credential.
	Verify(ctx context.Context, c *Credential, now time.Time) (*Principal, error)
}

// ErrNotMine is returned for a credential that is not of the verifier's kind.
var ErrNotMine = errors.New("credential of another kind")

// CredentialError is returned for a credential that is not valid. It gives the
// reason.
type CredentialError struct {
	Reason Reason
	// Principal is the owner of the credential, if known (an expired or revoked
	// key). It is for the log only.
	Principal *Principal
	// Cause is the rule that the credential breaks, if the reason alone does
	// not name it. It is for the log only.
	Cause error
}

// Error implements error.
func (e *CredentialError) Error() string { return e.Reason.String() }

// Observer receives each decision: metrics, log, usage. It must not keep the
// request or the decision.
type Observer interface {
	Observe(r *Request, d *Decision)
}

// Config holds the parts of a Checker. Ready, Policy, Verifier, Identity, Now,
// Since and NewID are required.
type Config struct {
	Ready        func() error // an error while nothing can be decided yet; everything is then denied
	Paths        urlpath.Rules
	Policy       Policy
	Sources      CredentialSources
	Verifier     Verifier
	Identity     *IdentityHeaders
	Overrides    []string // headers that every allow removes, see package overrides
	Limiter      Limiter  // nil: requests are not counted
	RequireHTTPS bool
	TrustedHops  int // trusted entries at the end of X-Forwarded-For, see Request.Client
	Observers    []Observer
	// DenialObservers get the denials only: an allow does nothing for them.
	DenialObservers []Observer

	Now   func() time.Time
	Since func(time.Time) time.Duration // time.Since, which is cheaper than a second call of Now
	NewID func() string                 // returns the ID of a denial
}

// Checker decides requests.
type Checker struct {
	cfg               Config
	credentialHeaders []string
}

// NewChecker returns a Checker with the given parts.
func NewChecker(cfg Config) (*Checker, error) {
	if cfg.Ready == nil || cfg.Policy == nil || cfg.Verifier == nil || cfg.Identity == nil || cfg.Now == nil || cfg.Since == nil || cfg.NewID == nil {
		return nil, errors.New("authz: a part is missing from the Config")
	}
	return &Checker{cfg, cfg.Sources.credentialHeaders()}, nil
}

// Check decides one request and notifies the observers; every decision is
// observed. The decision is valid until the request is reset.
func (c *Checker) Check(ctx context.Context, r *Request) *Decision {
	d := c.newDecision(r)
	d.Reason = c.evaluate(ctx, r, d)
	return c.finish(r, d)
}

// Refuse denies a request that could not be read completely, and notifies the
// observers.
func (c *Checker) Refuse(r *Request, reason Reason, cause error) *Decision {
	d := c.newDecision(r)
	d.Reason = c.deny(r, d, "read", reason, cause)
	return c.finish(r, d)
}

// newDecision returns a decision that denies.
func (c *Checker) newDecision(r *Request) *Decision {
	r.decision, r.trustedHops = Decision{At: c.cfg.Now()}, c.cfg.TrustedHops
	return &r.decision
}

// finish completes the decision and hands it to the observers.
func (c *Checker) finish(r *Request, d *Decision) *Decision {
	if !d.Allowed() {
		d.ID = c.cfg.NewID()
	}
	d.Duration = c.cfg.Since(d.At)
	for _, o := range c.cfg.Observers {
		o.Observe(r, d)
	}
	if !d.Allowed() {
		for _, o := range c.cfg.DenialObservers {
			o.Observe(r, d)
		}
	}
	return d
}

// evaluate runs the checks in order. Each step denies or continues. No step can
// undo what an earlier one decided.
func (c *Checker) evaluate(ctx context.Context, r *Request, d *Decision) (reason Reason) {
	defer recoverToDenial(d, &reason)
	if reason, err := c.checkReady(ctx); reason != OK {
		return c.deny(r, d, "ready", reason, err)
	}
	path, err := urlpath.Parse(r.Target, c.cfg.Paths)
	if err != nil {
		return c.deny(r, d, "path", AmbiguousPath, err)
	}
	r.path = path.String()
	r.trace("path", path.Canonical())

	if d.Route, reason = c.cfg.Policy.Route(r, path); reason != OK {
		return c.deny(r, d, "route", reason, routingError(reason))
	}
	r.trace("route", d.Route.String())
	if !c.AllowsScheme(r) {
		return c.deny(r, d, "https", HTTPSRequired, nil)
	}
	if d.Route.Auth == AuthDeny {
		return c.deny(r, d, "route", RouteDenied, nil)
	}
	public := d.Route.Auth == AuthNone || d.Route.Preflight && r.isPreflight()
	if reason, err := c.checkQueryRemovable(r, d.Route, public); reason != OK {
		return c.deny(r, d, "credential", reason, err)
	}
	if public {
		return c.allow(ctx, r, d, Anonymous, anonymous)
	}

	switch reason := c.cfg.Sources.read(r); {
	case reason == NoCredential && d.Route.Auth == AuthOptional:
		return c.allow(ctx, r, d, Anonymous, anonymous)
	case reason != OK:
		return c.deny(r, d, "credential", reason, c.cfg.Sources.cause(r, reason))
	}
	p, reason, err := c.verify(ctx, r, d, c.cfg.Verifier)
	if d.Principal = p; reason != OK {
		return c.deny(r, d, "credential", reason, err)
	}
	if reason := c.cfg.Policy.Authorize(p, path, d.Route); reason != OK {
		return c.deny(r, d, "policy", reason, policyError(reason, p, path, d.Route))
	}
	return c.allow(ctx, r, d, OK, p)
}

// checkQueryRemovable denies a request whose query credential the proxy cannot
// remove before the upstream sees it. On a route that is not public, reading
// the credentials finds an encoded parameter.
func (c *Checker) checkQueryRemovable(r *Request, route *Route, public bool) (Reason, error) {
	switch {
	case route.ForwardCredentials:
		return OK, nil
	case r.FixedTarget && len(c.cfg.Sources.Query.Present(r.Target)) > 0:
		return UnsupportedCredential, errFixedTarget
	case public && c.cfg.Sources.Query.HasEncoded(r.Target):
		return AmbiguousCredential, errEncoded
	default:
		return OK, nil
	}
}

// AllowsScheme reports whether the client's connection was secure enough.
// Traefik calls the scheme of a websocket over TLS wss.
func (c *Checker) AllowsScheme(r *Request) bool {
	return !c.cfg.RequireHTTPS || chars.EqualASCIIFold(r.Scheme, "https") || chars.EqualASCIIFold(r.Scheme, "wss")
}

// checkReady returns OK if keys are loaded and the caller still waits. A
// request past its deadline is dropped.
func (c *Checker) checkReady(ctx context.Context) (Reason, error) {
	if err := c.cfg.Ready(); err != nil {
		return Unavailable, err
	}
	if err := ctx.Err(); err != nil {
		return Overloaded, err
	}
	return OK, nil
}

// recoverToDenial turns a panic in any step into a denial.
func recoverToDenial(d *Decision, reason *Reason) {
	if v := recover(); v != nil {
		*d = Decision{At: d.At, Route: d.Route, Cause: fmt.Errorf("panic: %v", v)}
		*reason = Internal
	}
}

// verify asks v for the principal, unless the client has failed too
// often. It counts a credential that is not valid.
func (c *Checker) verify(ctx context.Context, r *Request, d *Decision, v Verifier) (*Principal, Reason, error) {
	r.credential.Bind(r)
	if c.cfg.Limiter == nil {
		return c.callVerifier(ctx, r, v, d.At)
	}
	quota, err := c.cfg.Limiter.AllowAttempt(ctx, r, d.At)
	if err != nil {
		return nil, Unavailable, err
	}
	if quota.Refused {
		d.Quota = quota
		return nil, RateLimited, nil
	}
	p, reason, err := c.callVerifier(ctx, r, v, d.At)
	if reason.Status() == 401 {
		c.cfg.Limiter.RecordFailure(ctx, r, d.At)
	}
	return p, reason, err
}

// callVerifier turns the verifier's three outcomes into reasons.
func (c *Checker) callVerifier(ctx context.Context, r *Request, v Verifier, now time.Time) (*Principal, Reason, error) {
	p, err := v.Verify(ctx, &r.credential, now)
	switch invalid, ok := errors.AsType[*CredentialError](err); {
	case err == nil && p != nil && p.AuthMethod != AuthMethodNone:
		if r.Trace != nil { // most requests do not pay for building the text
			r.Trace("credential", p.AuthMethod.String()+" of "+p.displayName())
		}
		return p, OK, nil
	case err == nil:
		return nil, Internal, errors.New("a verifier returned neither principal nor error")
	case ok && !invalid.Reason.Allows():
		return invalid.Principal, invalid.Reason, invalid.Cause
	case errors.Is(err, ErrNotMine):
		return nil, InvalidToken, nil
	default:
		return nil, Unavailable, err
	}
}

// allow is the last step. It counts the request, and denies a request over a
// limit.
func (c *Checker) allow(ctx context.Context, r *Request, d *Decision, reason Reason, p *Principal) Reason {
	d.Principal = p
	if c.cfg.Limiter != nil {
		var err error
		if d.Quota, err = c.cfg.Limiter.Allow(ctx, r, d); err != nil {
			return c.deny(r, d, "rate", Unavailable, err)
		}
		if d.Quota.Refused {
			return c.deny(r, d, "rate", RateLimited, nil)
		}
	}
	c.prepareUpstream(r, d)
	r.trace("allow", reason.String())
	return reason
}

func (c *Checker) deny(r *Request, d *Decision, step string, reason Reason, cause error) Reason {
	d.Cause = cause
	if r.Trace != nil {
		outcome := reason.String()
		if cause != nil {
			outcome += " (" + cause.Error() + ")"
		}
		r.Trace(step, outcome)
	}
	return reason
}

// errOtherRoute is the cause for a path that is unambiguous by itself, but
// ambiguous among the routes.
var errOtherRoute = fmt.Errorf("%w: an upstream that ignores the case of letters (paths.case), decodes escapes, ends the path at ? or #, trims dots and spaces, or expects another character encoding would put it on another route", urlpath.ErrAmbiguous)

// policyError returns the cause of a denial for which the credential's own
// record is not enough; nil for all others.
func policyError(reason Reason, p *Principal, path urlpath.Path, route *Route) error {
	if reason == PathNotAllowed {
		return route.CheckSubject(p, path)
	}
	return nil
}

// routingError returns the cause of a policy's reason, for the operator.
func routingError(reason Reason) error {
	if reason == AmbiguousPath {
		return errOtherRoute
	}
	return nil
}
