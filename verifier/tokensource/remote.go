package tokensource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"keyward/verifier/issuerhttp"
	"keyward/verifier/jwks"
)

// RemoteConfig names an issuer and how often its keys are read.
type RemoteConfig struct {
	Name    string // in errors and in the log
	Issuer  string // needed if JWKSURL is ""
	JWKSURL string // "": it is discovered (OpenID Connect Discovery 1.0)

	// Client provides the transport; nil is issuerhttp's, with the proxy that
	// the environment names.
	Client   *http.Client
	Log      *slog.Logger // nil: none
	Observer Observer     // nil: none

	Refresh     time.Duration // between successful refreshes, ±10 %; 0 is 5 minutes
	MinInterval time.Duration // from the end of a refresh until a token may ask for another; 0 is 10 s
	Wait        time.Duration // how long checks wait for a refresh, from its start; 0 is 150 ms
}

const (
	refreshTimeout = 10 * time.Second // of one refresh, including discovery
	firstRetry     = time.Second
	maxWaiting     = 1024 // checks that wait for one refresh; further ones fail at once
)

// Remote keeps the keys of an issuer that publishes them at a URL. The last
// good set stays in force if later reads fail.
type Remote struct {
	cfg      RemoteConfig
	client   *http.Client
	location jwksLocation
	ignored  ignoredKeys              // used by run only
	keys     atomic.Pointer[jwks.Set] // nil until some were loaded

	mu       sync.Mutex
	inFlight *refresh  // nil if there is none
	ended    time.Time // when the last refresh ended
	lastErr  error     // why it failed, nil if it succeeded

	requested chan struct{} // a check has started a refresh
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan struct{}
}

// refresh is one attempt that checks may wait for.
type refresh struct {
	began   time.Time
	waiting int           // checks that wait, under Remote's lock
	done    chan struct{} // closed at the end
	err     error         // valid after done
}

// NewRemote starts to load the keys, and refreshes them until Close.
func NewRemote(cfg RemoteConfig) (*Remote, error) {
	source, err := newJWKSLocation(cfg.Issuer, cfg.JWKSURL)
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Observer = orDiscard(cfg.Observer)
	if cfg.Refresh <= 0 {
		cfg.Refresh = 5 * time.Minute
	}
	if cfg.MinInterval <= 0 {
		cfg.MinInterval = 10 * time.Second
	}
	if cfg.Wait <= 0 {
		cfg.Wait = 150 * time.Millisecond
	}
	r := &Remote{
		cfg: cfg, client: issuerhttp.NewDocumentClient(cfg.Client, source.guard), location: source,
		requested: make(chan struct{}, 1), done: make(chan struct{}),
	}
	r.ignored = ignoredKeys{log: cfg.Log.With("issuer", cfg.Name), observer: cfg.Observer}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.startRefresh() // so that the first check waits for the scheduled refresh and starts no other
	go r.run()
	return r, nil
}

// Close cancels a refresh in flight and waits for its goroutine. The keys stay.
func (r *Remote) Close() error {
	r.cancel()
	<-r.done
	r.client.CloseIdleConnections()
	return nil
}

// Contains reports whether a key found earlier is still one of the issuer's.
func (r *Remote) Contains(key *jwks.Key) bool {
	keys := r.keys.Load()
	return keys != nil && keys.Contains(key)
}

// Find implements verifier.KeySource. A known key comes from memory. An unknown
// one causes one refresh, shared by all callers and not more often than
// MinInterval, before a key without an id stands in for it. If the refresh
// fails, such a key of the last good set still does.
func (r *Remote) Find(ctx context.Context, q jwks.Query, _ time.Time) ([]*jwks.Key, error) {
	if keys := r.keys.Load(); keys != nil {
		named := q
		named.OptionalID = q.OptionalID && !q.HasID
		if found, err := keys.Find(named); !errors.Is(err, jwks.ErrNoKey) {
			return found, err
		}
	}
	failure := r.waitForRefresh(ctx)
	if failure == nil {
		return r.keys.Load().Find(q)
	}
	if keys := r.keys.Load(); keys != nil && q.OptionalID {
		if found, err := keys.Find(q); err == nil {
			return found, nil
		}
	}
	return nil, fmt.Errorf("keys of issuer %s: %w", r.cfg.Name, failure)
}

var (
	errSlow           = errors.New("no answer yet")
	errTooManyWaiting = errors.New("too many checks wait for it")
)

// waitForRefresh returns nil once a recent refresh has succeeded. It starts one
// if MinInterval allows, and waits for the one in flight.
func (r *Remote) waitForRefresh(ctx context.Context) error {
	r.mu.Lock()
	if r.inFlight == nil {
		if time.Since(r.ended) < r.cfg.MinInterval {
			defer r.mu.Unlock()
			return r.lastErr
		}
		r.startRefresh()
		r.requested <- struct{}{}
	}
	current := r.inFlight
	current.waiting++
	full := current.waiting > maxWaiting
	r.mu.Unlock()
	if full {
		return errTooManyWaiting
	}
	timer := time.NewTimer(r.cfg.Wait - time.Since(current.began)) // fires at once if that has passed
	defer timer.Stop()
	select {
	case <-current.done:
		return current.err
	case <-timer.C:
		return errSlow
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startRefresh records that a refresh starts. The lock must be held, unless r
// is not shared yet.
func (r *Remote) startRefresh() {
	r.inFlight = &refresh{began: time.Now(), done: make(chan struct{})}
}

func (r *Remote) run() {
	defer close(r.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		scheduled := false
		select {
		case <-r.ctx.Done():
			return
		case <-timer.C:
			scheduled = true
		case <-r.requested:
		}
		if err := r.refresh(scheduled); err != nil {
			failures++
		} else {
			failures = 0
		}
		// A refresh that a check started must not delay the scheduled one, or
		// a client could prevent rediscovery by causing refreshes.
		if scheduled || failures == 1 {
			timer.Reset(r.nextDelay(failures))
		}
	}
}

// refresh reads the keys and puts them in force if they are valid.
func (r *Remote) refresh(scheduled bool) error {
	current := r.claimRefresh()
	ctx, cancel := context.WithTimeout(r.ctx, refreshTimeout)
	defer cancel()
	keys, err := guarded(func() (*jwks.Set, error) { return r.location.load(ctx, r.client, scheduled) })
	if err == nil {
		r.keys.Store(keys)
	}
	if r.ctx.Err() == nil { // otherwise it was closed, which says nothing about the issuer
		r.report(keys, err)
	}
	r.mu.Lock()
	r.inFlight, r.ended, r.lastErr = nil, time.Now(), err
	current.err = err
	close(current.done)
	r.mu.Unlock()
	return err
}

// report tells the observer and the log. It reads lastErr without the lock:
// only run's goroutine, which calls it, writes that.
func (r *Remote) report(keys *jwks.Set, err error) {
	r.cfg.Observer.Refreshed(err)
	if err == nil {
		r.ignored.report(keys)
	}
	switch {
	case err != nil:
		r.cfg.Log.Warn("reading an issuer's keys", "issuer", r.cfg.Name, "loaded", r.keys.Load() != nil, "error", err)
	case r.lastErr != nil:
		r.cfg.Log.Info("an issuer's keys can be read again", "issuer", r.cfg.Name, "keys", keys.Len())
	}
}

// claimRefresh returns the refresh that a check has started, or starts one.
func (r *Remote) claimRefresh() *refresh {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inFlight == nil {
		r.startRefresh()
	}
	select {
	case <-r.requested: // the timer came first
	default:
	}
	return r.inFlight
}

// nextDelay returns the time until the next refresh, with exponential backoff
// after consecutive failures. Jitter spreads out replicas that failed at the
// same moment.
func (r *Remote) nextDelay(failures int) time.Duration {
	delay := r.cfg.Refresh
	if failures > 0 {
		delay = min(firstRetry<<min(failures-1, 16), r.cfg.Refresh)
	}
	return delay - delay/10 + rand.N(delay/5+1)
}
