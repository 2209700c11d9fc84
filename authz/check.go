// Package authz is the core: it says what a request, a credential, a
// principal, a path, a scope and a decision are, and in what order a request
// is judged. It knows no wire format, reads no file and asks no network; what
// it needs of others comes in through small interfaces.
package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Policy knows the operator's rules about places.
type Policy interface {
	// Route returns the route that is in force for the request. Any reason but
	// OK refuses it; the route, where there is one, then gives the error style.
	Route(r *Request, path Path) (*Route, Reason)
	// Permit tells whether the principal may come to the path by the route.
	Permit(p *Principal, path Path, route *Route) Reason
}

// Verifier knows credentials.
type Verifier interface {
	// Verify returns the principal that the credential stands for. An error is
	// ErrNotMine, where the verifier does not check such a credential; a
	// *CredentialError, where the credential is no good; anything else means that it
	// could not tell. It must not keep the credential.
	Verify(ctx context.Context, c *Credential, now time.Time) (*Principal, error)
}

// ErrNotMine is a verifier's word that a credential is not of its kind.
var ErrNotMine = errors.New("credential of another kind")

// CredentialError is a verifier's word that a credential is no good, and why.
type CredentialError struct {
	Reason Reason
	// Principal is whose credential it was, where that is known (an expired or revoked key). For the log.
	Principal *Principal
	// Cause says which rule the credential breaks, where the reason alone does not. For the log.
	Cause error
}

// Error implements error.
func (r *CredentialError) Error() string { return r.Reason.String() }

// Observer is told of each decision: metrics, log, usage. It must not keep the
// request or the decision.
type Observer interface {
	Observe(r *Request, d *Decision)
}

// Config is what a Checker is made of. All parts are needed but the Limiter.
type Config struct {
	Ready        func() error // an error while nothing can be judged yet; everything is then denied
	Paths        PathRules
	Policy       Policy
	Sources      Sources
	Verifier     Verifier
	Identity     *Identity
	Overrides    []string // headers that every allow has removed, see UpstreamOverrides
	Limiter      Limiter  // nil: nothing is counted
	RequireHTTPS bool
	TrustedHops  int // of X-Forwarded-For, see Request.Client
	Observers    []Observer
	Now          func() time.Time
	Since        func(time.Time) time.Duration // time.Since, which is cheaper than to ask Now again
	NewID        func() string                 // names a decision
}

// Checker judges requests.
type Checker struct {
	cfg      Config
	carriers []string
}

// NewChecker returns a Checker of the given parts.
func NewChecker(cfg Config) (*Checker, error) {
	if cfg.Ready == nil || cfg.Policy == nil || cfg.Verifier == nil || cfg.Identity == nil || cfg.Now == nil || cfg.Since == nil || cfg.NewID == nil {
		return nil, errors.New("authz: a part is missing from the Config")
	}
	return &Checker{cfg, cfg.Sources.carriers()}, nil
}

// Check judges one request and lets the observers know. Nothing passes it
// unobserved. The decision is good until the request is reset.
func (c *Checker) Check(ctx context.Context, r *Request) *Decision {
	d := c.begin(r)
	d.Reason = c.judge(ctx, r, d)
	return c.observed(r, d)
}

// Overrides returns the headers that every allow has removed beside those that
// the Decision names. They are the same each time, so a transport encodes them once.
func (c *Checker) Overrides() []string { return c.cfg.Overrides }

// Authenticate judges the request's credential alone, for a caller that asks
// what its own is worth: no route, path, scope or rate has a say. An allow has
// the principal and nothing to set or to remove.
func (c *Checker) Authenticate(ctx context.Context, r *Request) *Decision {
	d := c.begin(r)
	d.Reason = c.authenticate(ctx, r, d)
	return c.observed(r, d)
}

// Refuse denies a request that could not be read whole, and lets the observers know.
func (c *Checker) Refuse(r *Request, reason Reason, cause error) *Decision {
	d := c.begin(r)
	d.Reason = c.deny(r, d, "read", reason, cause)
	return c.observed(r, d)
}

// begin is a decision that denies.
func (c *Checker) begin(r *Request) *Decision {
	r.decision, r.trustedHops = Decision{At: c.cfg.Now()}, c.cfg.TrustedHops
	return &r.decision
}

func (c *Checker) observed(r *Request, d *Decision) *Decision {
	if !d.Allowed() {
		d.ID = c.cfg.NewID()
	}
	d.Took = c.cfg.Since(d.At)
	for _, o := range c.cfg.Observers {
		o.Observe(r, d)
	}
	return d
}

// judge is the way a request takes. Each step denies or goes on; there is no way back up.
func (c *Checker) judge(ctx context.Context, r *Request, d *Decision) (reason Reason) {
	defer denyPanic(d, &reason)
	if reason, err := c.canJudge(ctx); reason != OK {
		return c.deny(r, d, "ready", reason, err)
	}
	path, err := ParsePath(r.Target, c.cfg.Paths)
	if err != nil {
		return c.deny(r, d, "path", AmbiguousPath, err)
	}
	r.path = path.String()
	r.trace("path", path.Canonical())

	if d.Route, reason = c.cfg.Policy.Route(r, path); reason != OK {
		return c.deny(r, d, "route", reason, whyNotRouted(reason))
	}
	r.trace("route", d.Route.String())
	if !c.cameSafely(r) {
		return c.deny(r, d, "https", HTTPSRequired, nil)
	}
	if d.Route.Auth == AuthDeny {
		return c.deny(r, d, "route", RouteDenied, nil)
	}
	public := d.Route.Auth == AuthNone || d.Route.Preflight && r.isPreflight()
	if reason := c.canHideQuery(r, d.Route, public); reason != OK {
		return c.deny(r, d, "credential", reason, nil)
	}
	if public {
		return c.admit(ctx, r, d, Anonymous, anonymous)
	}

	switch reason := c.cfg.Sources.read(r); {
	case reason == NoCredential && d.Route.Auth == AuthOptional:
		return c.admit(ctx, r, d, Anonymous, anonymous)
	case reason != OK:
		return c.deny(r, d, "credential", reason, nil)
	}
	p, reason, err := c.try(ctx, r, d)
	if d.Principal = p; reason != OK {
		return c.deny(r, d, "credential", reason, err)
	}
	if reason := c.cfg.Policy.Permit(p, path, d.Route); reason != OK {
		return c.deny(r, d, "policy", reason, nil)
	}
	return c.admit(ctx, r, d, OK, p)
}

// authenticate is judge without what depends on the place.
func (c *Checker) authenticate(ctx context.Context, r *Request, d *Decision) (reason Reason) {
	defer denyPanic(d, &reason)
	if reason, err := c.canJudge(ctx); reason != OK {
		return c.deny(r, d, "ready", reason, err)
	}
	if !c.cameSafely(r) {
		return c.deny(r, d, "https", HTTPSRequired, nil)
	}
	if reason := c.cfg.Sources.read(r); reason != OK {
		return c.deny(r, d, "credential", reason, nil)
	}
	p, reason, err := c.try(ctx, r, d)
	if d.Principal = p; reason != OK {
		return c.deny(r, d, "credential", reason, err)
	}
	return OK
}

// canHideQuery refuses a request whose query credential the proxy cannot remove
// before the upstream sees it. On routes that are not public a disguised one is
// found when credentials are read.
func (c *Checker) canHideQuery(r *Request, route *Route, public bool) Reason {
	switch {
	case route.ForwardCredentials:
		return OK
	case r.FixedTarget && c.cfg.Sources.inQuery(r.Target):
		return UnsupportedCredential
	case public && c.cfg.Sources.disguisedInQuery(r.Target):
		return AmbiguousCredential
	default:
		return OK
	}
}

// cameSafely tells whether the request may be looked at as it came. Traefik
// calls the scheme of a websocket over TLS wss.
func (c *Checker) cameSafely(r *Request) bool {
	return !c.cfg.RequireHTTPS || equalASCIIFold(r.Scheme, "https") || equalASCIIFold(r.Scheme, "wss")
}

// canJudge tells whether there is anything to judge by, and whether anybody
// still waits for the answer: what has passed its deadline is dropped.
func (c *Checker) canJudge(ctx context.Context) (Reason, error) {
	if err := c.cfg.Ready(); err != nil {
		return Unavailable, err
	}
	if err := ctx.Err(); err != nil {
		return Overloaded, err
	}
	return OK, nil
}

// denyPanic makes a denial of a panic in any step.
func denyPanic(d *Decision, reason *Reason) {
	if v := recover(); v != nil {
		*d = Decision{At: d.At, Route: d.Route, Cause: fmt.Errorf("panic: %v", v)}
		*reason = Internal
	}
}

// verify asks the verifier and turns its three outcomes into reasons.
func (c *Checker) verify(ctx context.Context, r *Request, now time.Time) (*Principal, Reason, error) {
	p, err := c.cfg.Verifier.Verify(ctx, &r.credential, now)
	switch refusal, ok := errors.AsType[*CredentialError](err); {
	case err == nil && p != nil && p.AuthMethod != AuthMethodNone:
		if r.Trace != nil { // the text is made for who asks alone
			r.Trace("credential", p.AuthMethod.String()+" of "+p.shown())
		}
		return p, OK, nil
	case err == nil:
		return nil, Internal, errors.New("a verifier returned neither principal nor error")
	case ok && !refusal.Reason.Allows():
		return refusal.Principal, refusal.Reason, refusal.Cause
	case errors.Is(err, ErrNotMine):
		return nil, InvalidToken, nil
	default:
		return nil, Unavailable, err
	}
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

func (c *Checker) allow(r *Request, d *Decision, reason Reason) Reason {
	c.dress(r, d)
	r.trace("allow", reason.String())
	return reason
}

// dress fills in what the upstream is to see and what it must not.
func (c *Checker) dress(r *Request, d *Decision) {
	c.cfg.Identity.apply(d.Principal, r)
	if !d.Route.ForwardCredentials {
		r.remove = append(r.remove, c.carriers...)
		if rest, found := c.cfg.Sources.cutCookie(r); found && rest != "" {
			r.set = append(r.set, Header{"cookie", rest})
		} else if found {
			r.remove = append(r.remove, "cookie")
		}
		if c.cfg.Sources.inQuery(r.Target) {
			d.RemoveQuery = c.cfg.Sources.Query
		}
	}
	d.Set, d.Remove = r.set, r.remove
}

// ShowsAlias tells whether the request has a header that an upstream could
// take for one of ours. An allow has it removed; a proxy that can't be told to
// remove what it does not know beforehand must not be told to allow.
func (c *Checker) ShowsAlias(r *Request) bool {
	return slices.ContainsFunc(r.Headers, func(h Header) bool { return c.cfg.Identity.isAlias(h.Name) })
}
