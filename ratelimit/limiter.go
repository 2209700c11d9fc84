package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"

	"keyward/authz"
)

// Spec is a limit as an operator sets it. The zero Spec means no limit.
type Spec struct {
	Rate   Rate
	Shadow bool // counted but not enforced
}

// LimiterConfig says which requests are counted, and in which stores.
type LimiterConfig struct {
	// ByMethod are the limits of principals by auth method. That of
	// AuthMethodAnonymous applies to each address, for requests without a
	// credential. A credential's own rate replaces that of its kind.
	ByMethod map[authz.AuthMethod]Spec
	// Failed is the limit of invalid credentials per address.
	Failed Spec

	Store Store // of principals
	// Addresses counts addresses separately, so that a client that makes up
	// addresses cannot evict principals.
	Addresses Store
	Keyer     *BucketKeyer
	// Shadowed, if not nil, is called with the name of each shadow limit that
	// would have refused.
	Shadowed func(limit string)
}

// Limiter applies the limits to requests. It implements authz.Limiter.
type Limiter struct {
	cfg      LimiterConfig
	byMethod [authz.AuthMethodCount]Spec
	requests sync.Pool // of *request: passed to a Store, each would be allocated per request
}

// NewLimiter returns a limiter with the given parts.
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

// request holds the limits and results of one HTTP request.
type request struct {
	limits  [MaxLimits]Limit
	results [MaxLimits]Result
	n       int
}

func (q *request) add(name string, bucket Bucket, spec Spec) {
	q.limits[q.n] = Limit{Name: name, Bucket: bucket, Rate: spec.Rate, Shadow: spec.Shadow}
	q.results[q.n] = Result{} // a result that the store does not write must refuse
	q.n++
}

func (l *Limiter) newRequest() *request {
	q := l.requests.Get().(*request)
	q.n = 0
	return q
}

// Allow implements authz.Limiter. It counts the request for its principal, or
// for its address if it has no principal. On a route with a rate it also counts
// it for the route.
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

// Names of limits that are not named after an auth method.
const (
	keyLimit    = "key"
	routeLimit  = "route"
	failedLimit = "failed"

	ofPrincipal = "principal"
	ofAddress   = "address"
	ofClient    = "client"
)

// subject returns the subject that a request is counted for. A rotated key
// keeps its subject. The tokens, or the passwords, of one user share one.
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

// clientSubject returns the subject that is counted for an address. Clients
// with an unknown address share one: separate limits would not bound anything.
func (l *Limiter) clientSubject(address authz.Address) Subject {
	var buf [64]byte
	return l.cfg.Keyer.Subject(ofAddress, string(address.Client().AppendTo(buf[:0])))
}

// AllowAttempt implements authz.Limiter. It charges nothing. A client with an
// unknown address may always try, because one that fails would block all
// others.
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

// RecordFailure implements authz.Limiter. The credential is refused whether or
// not the failure could be counted.
func (l *Limiter) RecordFailure(ctx context.Context, r *authz.Request, now time.Time) {
	q := l.failureRequest(r)
	if q == nil {
		return
	}
	defer l.requests.Put(q)
	_, _ = l.take(ctx, l.cfg.Addresses, now, q)
}

// failureRequest returns the request in which the client's failed attempts are
// counted, nil if they are not counted.
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

// refusal returns the quota of the limit that refuses.
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

// PeekKey returns the state of a key's limit without counting a request. own is
// the key's own rate; the zero Rate means that of its kind.
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

// ResetKey refills a key's bucket. Its buckets of routes' rates stay as they
// are.
func (l *Limiter) ResetKey(ctx context.Context, id string) error {
	return l.cfg.Store.Reset(ctx, l.keyBucket(id))
}

func (l *Limiter) keyBucket(id string) Bucket {
	return l.cfg.Keyer.Bucket(l.cfg.Keyer.Subject(keyLimit, id), ofPrincipal)
}
