package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"

	"keyward/authz"
)

// Term is a limit as an operator sets it. The zero Term is none.
type Term struct {
	Rate   Rate
	Shadow bool // counted, and refuses nobody
}

// LimiterConfig says what is counted, and where.
type LimiterConfig struct {
	// Kinds are the limits of each principal by the way it was authenticated;
	// that of AuthMethodAnonymous is an address's, for requests without a credential.
	// A credential's own rate takes the place of its kind's.
	Kinds map[authz.AuthMethod]Term
	// Failed is an address's limit of credentials that were no good.
	Failed Term

	Store Store // of principals
	// Addresses are counted here: who makes up addresses can't have principals forgotten.
	Addresses Store
	Keyer     *Keyer
	// Shadowed is told the name of each shadow limit that would have refused; nil is nobody.
	Shadowed func(limit string)
}

// Limiter counts requests by what is known of them. It implements authz.Limiter.
type Limiter struct {
	cfg   LimiterConfig
	kinds [authz.AuthMethodCount]Term
	asked sync.Pool // of *request: a Store would have each one made anew
}

// NewLimiter returns a limiter of the given parts.
func NewLimiter(cfg LimiterConfig) (*Limiter, error) {
	if cfg.Store == nil || cfg.Addresses == nil || cfg.Keyer == nil {
		return nil, errors.New("ratelimit: a part is missing from the LimiterConfig")
	}
	l := &Limiter{cfg: cfg, asked: sync.Pool{New: func() any { return new(request) }}}
	for method, term := range cfg.Kinds {
		if int(method) >= len(l.kinds) || term.Rate.Validate() != nil {
			return nil, errors.New("ratelimit: a limit of no kind, or out of bounds")
		}
		l.kinds[method] = term
	}
	if cfg.Failed != (Term{}) && cfg.Failed.Rate.Validate() != nil {
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

func (q *request) add(name string, bucket Bucket, term Term) {
	q.limits[q.n] = Limit{Name: name, Bucket: bucket, Rate: term.Rate, Shadow: term.Shadow}
	q.results[q.n] = Result{} // no result of another's: one that a store did not write refuses
	q.n++
}

func (l *Limiter) begin() *request {
	q := l.asked.Get().(*request)
	q.n = 0
	return q
}

// Allow implements authz.Limiter: it counts the request for its principal, or
// its address where it has none, and on a route with a rate once more.
func (l *Limiter) Allow(ctx context.Context, r *authz.Request, d *authz.Decision) (authz.Quota, error) {
	term, name := l.kinds[d.Principal.AuthMethod], d.Principal.AuthMethod.String()
	if d.Principal.Rate != (Rate{}) {
		term, name = Term{Rate: d.Principal.Rate}, keyLimit
	}
	onRoute := Term{d.Route.Rate, d.Route.RateShadow}
	if term == (Term{}) && onRoute == (Term{}) {
		return authz.Quota{}, nil
	}
	owner, store := l.owner(r, d.Principal)
	q := l.begin()
	defer l.asked.Put(q)
	if term != (Term{}) {
		q.add(name, l.cfg.Keyer.Bucket(owner, ofPrincipal), term)
	}
	if onRoute != (Term{}) {
		q.add(routeLimit, l.cfg.Keyer.Bucket(owner, routeLimit, d.Route.Identity), onRoute)
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

// owner is whose count a request is in. A key that was rotated, and a user's
// tokens and passwords of one kind, have one count.
func (l *Limiter) owner(r *authz.Request, p *authz.Principal) (Owner, Store) {
	switch {
	case p.AuthMethod == authz.AuthMethodAnonymous:
		return l.client(r.Client().Address()), l.cfg.Addresses
	case p.KeyID != "":
		return l.cfg.Keyer.Owner(keyLimit, p.KeyID), l.cfg.Store
	case p.User == "":
		return l.cfg.Keyer.Owner(ofClient, p.AuthMethod.String(), p.Issuer, p.ClientID), l.cfg.Store
	default:
		return l.cfg.Keyer.Owner(p.AuthMethod.String(), p.Issuer, p.Subject()), l.cfg.Store
	}
}

// client is the owner of what is counted for an address. Clients whose address
// is unknown have one count: a limit for each would bound nothing.
func (l *Limiter) client(address authz.Address) Owner {
	var room [64]byte
	return l.cfg.Keyer.Owner(ofAddress, string(address.Client().AppendTo(room[:0])))
}

// AllowAttempt implements authz.Limiter. It charges nothing. Clients whose address
// is unknown may always try, as one that fails would lock out all the others.
func (l *Limiter) AllowAttempt(ctx context.Context, r *authz.Request, now time.Time) (authz.Quota, error) {
	q := l.failures(r)
	if q == nil {
		return authz.Quota{}, nil
	}
	defer l.asked.Put(q)
	refused, err := l.cfg.Addresses.Peek(ctx, now, q.limits[:q.n], q.results[:q.n])
	if err != nil || refused == NotRefused {
		return authz.Quota{}, err
	}
	return q.refusal(refused), nil
}

// RecordFailure implements authz.Limiter. The credential is refused whether or not it could be counted.
func (l *Limiter) RecordFailure(ctx context.Context, r *authz.Request, now time.Time) {
	q := l.failures(r)
	if q == nil {
		return
	}
	defer l.asked.Put(q)
	_, _ = l.take(ctx, l.cfg.Addresses, now, q)
}

// failures is what the client's failed attempts are counted in, nil where they are not counted.
func (l *Limiter) failures(r *authz.Request) *request {
	if l.cfg.Failed == (Term{}) {
		return nil
	}
	address := r.Client().Address()
	if !address.Known() {
		return nil
	}
	q := l.begin()
	q.add(failedLimit, l.cfg.Keyer.Bucket(l.client(address), failedLimit), l.cfg.Failed)
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
	if tightest := Tightest(limits, results); tightest >= 0 {
		return q.quota(tightest), nil
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

// OfKey is a key's limit as it stands, without being counted.
func (l *Limiter) OfKey(ctx context.Context, id string, own Rate, now time.Time) (authz.Quota, error) {
	term, name := l.kinds[authz.AuthMethodAPIKey], authz.AuthMethodAPIKey.String()
	if own != (Rate{}) {
		term, name = Term{Rate: own}, keyLimit
	}
	if term == (Term{}) {
		return authz.Quota{}, nil
	}
	var q request
	q.add(name, l.ofKey(id), term)
	if _, err := l.cfg.Store.Peek(ctx, now, q.limits[:1], q.results[:1]); err != nil {
		return authz.Quota{}, err
	}
	return q.quota(0), nil
}

// ResetKey makes a key's count that of one never used; what it has used of routes' rates stays.
func (l *Limiter) ResetKey(ctx context.Context, id string) error {
	return l.cfg.Store.Reset(ctx, l.ofKey(id))
}

func (l *Limiter) ofKey(id string) Bucket {
	return l.cfg.Keyer.Bucket(l.cfg.Keyer.Owner(keyLimit, id), ofPrincipal)
}
