package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"

	"keyward/authz"
)

// Spec is a limit as an operator sets it. The zero Spec is none.
type Spec struct {
	Rate   Rate
	Shadow bool // counted, and denies no request
}

// LimiterConfig says what is counted, and where.
type LimiterConfig struct {
	// ByMethod are the limits of each principal by the way it was authenticated;
	// that of AuthMethodAnonymous is an address's, for requests without a credential.
	// A credential's own rate takes the place of its kind's.
	ByMethod map[authz.AuthMethod]Spec
	// Failed is an address's limit of credentials that were no good.
	Failed Spec

	Store Store // of principals
	// Addresses are counted apart, so that a client that makes up addresses cannot
	// evict principals.
	Addresses Store
	Keyer     *BucketKeyer
	// Shadowed is told the name of each shadow limit that would have refused; nil is nobody.
	Shadowed func(limit string)
}

// Limiter counts requests by what is known of them. It implements authz.Limiter.
type Limiter struct {
	cfg      LimiterConfig
	byMethod [authz.AuthMethodCount]Spec
	requests sync.Pool // of *request: a Store would have each one made anew
}

// NewLimiter returns a limiter of the given parts.
func NewLimiter(cfg LimiterConfig) (*Limiter, error) {
	if cfg.Store == nil || cfg.Addresses == nil || cfg.Keyer == nil {
		return nil, errors.New("ratelimit: a part is missing from the LimiterConfig")
	}
	l := &Limiter{cfg: cfg, requests: sync.Pool{New: func() any { return new(request) }}}
	for method, spec := range cfg.ByMethod {
		if int(method) >= len(l.byMethod) || spec.Rate.Validate() != nil {
			return nil, errors.New("ratelimit: a limit of no kind, or out of bounds")
		}
		l.byMethod[method] = spec
	}
	if cfg.Failed != (Spec{}) && cfg.Failed.Rate.Validate() != nil {
		return nil, authz.ErrRate
	}
	return l, nil
}

// request is what one request is counted in.
type request struct {
	limits  [MaxLimits]Limit
	results [MaxLimits]Result
	n       int
}

func (q *request) add(name string, bucket Bucket, spec Spec) {
	q.limits[q.n] = Limit{Name: name, Bucket: bucket, Rate: spec.Rate, Shadow: spec.Shadow}
	q.results[q.n] = Result{} // no result of another's: one that a store did not write refuses
	q.n++
}

func (l *Limiter) newRequest() *request {
	q := l.requests.Get().(*request)
	q.n = 0
	return q
}

// Allow implements authz.Limiter: it counts the request for its principal, or
// its address where it has none, and on a route with a rate once more.
func (l *Limiter) Allow(ctx context.Context, r *authz.Request, d *authz.Decision) (authz.Quota, error) {
	spec, name := l.byMethod[d.Principal.AuthMethod], d.Principal.AuthMethod.String()
	if d.Principal.Rate != (Rate{}) {
		spec, name = Spec{Rate: d.Principal.Rate}, keyLimit
	}
	onRoute := Spec{d.Route.Rate, d.Route.RateShadow}
	if spec == (Spec{}) && onRoute == (Spec{}) {
		return authz.Quota{}, nil
	}
	subject, store := l.subject(r, d.Principal)
	q := l.newRequest()
	defer l.requests.Put(q)
	if spec != (Spec{}) {
		q.add(name, l.cfg.Keyer.Bucket(subject, ofPrincipal), spec)
	}
	if onRoute != (Spec{}) {
		q.add(routeLimit, l.cfg.Keyer.Bucket(subject, routeLimit, d.Route.Identity), onRoute)
	}
	return l.take(ctx, store, d.At, q)
}

// Names of limits that are not a kind's.
const (
	keyLimit    = "key"
	routeLimit  = "route"
	failedLimit = "failed"

	ofPrincipal = "principal"
	ofAddress   = "address"
	ofClient    = "client"
)

// subject returns whose count a request is in. A key that was rotated, and a user's
// tokens and passwords of one kind, have one count.
func (l *Limiter) subject(r *authz.Request, p *authz.Principal) (Subject, Store) {
	switch {
	case p.AuthMethod == authz.AuthMethodAnonymous:
		return l.clientSubject(r.Client().Address()), l.cfg.Addresses
	case p.KeyID != "":
		return l.cfg.Keyer.Subject(keyLimit, p.KeyID), l.cfg.Store
	case p.User == "":
		return l.cfg.Keyer.Subject(ofClient, p.AuthMethod.String(), p.Issuer, p.ClientID), l.cfg.Store
	default:
		return l.cfg.Keyer.Subject(p.AuthMethod.String(), p.Issuer, p.Subject()), l.cfg.Store
	}
}

// clientSubject is the subject that is counted for an address. Clients whose address
// is unknown have one count: a limit for each would bound nothing.
func (l *Limiter) clientSubject(address authz.Address) Subject {
	var room [64]byte
	return l.cfg.Keyer.Subject(ofAddress, string(address.Client().AppendTo(room[:0])))
}

// AllowAttempt implements authz.Limiter. It charges nothing. Clients whose address
// is unknown may always try, as one that fails would lock out all the others.
func (l *Limiter) AllowAttempt(ctx context.Context, r *authz.Request, now time.Time) (authz.Quota, error) {
	q := l.failureRequest(r)
	if q == nil {
		return authz.Quota{}, nil
	}
	defer l.requests.Put(q)
	refused, err := l.cfg.Addresses.Peek(ctx, now, q.limits[:q.n], q.results[:q.n])
	if err != nil || refused == NotRefused {
		return authz.Quota{}, err
	}
	return q.refusal(refused), nil
}

// RecordFailure implements authz.Limiter. The credential is refused whether or not it could be counted.
func (l *Limiter) RecordFailure(ctx context.Context, r *authz.Request, now time.Time) {
	q := l.failureRequest(r)
	if q == nil {
		return
	}
	defer l.requests.Put(q)
	_, _ = l.take(ctx, l.cfg.Addresses, now, q)
}

// failureRequest is what the client's failed attempts are counted in, nil where they are not counted.
func (l *Limiter) failureRequest(r *authz.Request) *request {
	if l.cfg.Failed == (Spec{}) {
		return nil
	}
	address := r.Client().Address()
	if !address.Known() {
		return nil
	}
	q := l.newRequest()
	q.add(failedLimit, l.cfg.Keyer.Bucket(l.clientSubject(address), failedLimit), l.cfg.Failed)
	return q
}

func (l *Limiter) take(ctx context.Context, store Store, now time.Time, q *request) (authz.Quota, error) {
	limits, results := q.limits[:q.n], q.results[:q.n]
	refused, err := store.Take(ctx, now, limits, results)
	if err != nil {
		return authz.Quota{}, err
	}
	for i := range limits {
		if limits[i].Shadow && !results[i].Allowed && l.cfg.Shadowed != nil {
			l.cfg.Shadowed(limits[i].Name)
		}
	}
	if refused != NotRefused {
		return q.refusal(refused), nil
	}
	if strictest := MostRestrictive(limits, results); strictest >= 0 {
		return q.quota(strictest), nil
	}
	return authz.Quota{}, nil
}

// refusal is that of a limit which the store says refuses.
func (q *request) refusal(i int) authz.Quota {
	quota := q.quota(i)
	quota.Refused = true
	return quota
}

func (q *request) quota(i int) authz.Quota {
	limit, result := &q.limits[i], &q.results[i]
	return authz.Quota{
		Name: limit.Name, Rate: limit.Rate, Refused: !result.Allowed && !limit.Shadow, Limit: result.Limit, Remaining: result.Remaining,
		RetryAfter: result.RetryAfter, ResetAfter: result.ResetAfter,
	}
}

// PeekKey is a key's limit as it stands, without being counted.
func (l *Limiter) PeekKey(ctx context.Context, id string, own Rate, now time.Time) (authz.Quota, error) {
	spec, name := l.byMethod[authz.AuthMethodAPIKey], authz.AuthMethodAPIKey.String()
	if own != (Rate{}) {
		spec, name = Spec{Rate: own}, keyLimit
	}
	if spec == (Spec{}) {
		return authz.Quota{}, nil
	}
	var q request
	q.add(name, l.keyBucket(id), spec)
	if _, err := l.cfg.Store.Peek(ctx, now, q.limits[:1], q.results[:1]); err != nil {
		return authz.Quota{}, err
	}
	return q.quota(0), nil
}

// ResetKey makes a key's count that of one never used; what it has used of routes' rates stays.
func (l *Limiter) ResetKey(ctx context.Context, id string) error {
	return l.cfg.Store.Reset(ctx, l.keyBucket(id))
}

func (l *Limiter) keyBucket(id string) Bucket {
	return l.cfg.Keyer.Bucket(l.cfg.Keyer.Subject(keyLimit, id), ofPrincipal)
}
