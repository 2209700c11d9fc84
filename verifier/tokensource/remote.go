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

	"keyward/verifier/jwks"
)

// RemoteConfig says whose keys a Remote keeps.
type RemoteConfig struct {
	Name    string // in errors and in the log
	Issuer  string // needed where JWKSURL is ""
	JWKSURL string // "": the issuer is asked for it (OpenID Connect Discovery 1.0)

	// Client is where the transport is taken from; nil is one of our own, with
	// the proxy that the environment names.
	Client   *http.Client
	Log      *slog.Logger // nil: none
	Observer Observer     // nil: nobody

	Refresh     time.Duration // between refreshes while all is well, ±10 %; 0 is 5 minutes
	MinInterval time.Duration // from the end of a refresh until a token may ask for another; 0 is 10 s
	Wait        time.Duration // how long after a refresh began checks wait for it; 0 is 150 ms
}

const (
	refreshTimeout = 10 * time.Second // of one refresh, discovery and all
	firstRetry     = time.Second
	maxWaiting     = 1024 // checks that wait for one refresh; more are told at once that nobody can tell
)

// Remote keeps the keys of an issuer that publishes them at a URL. The last
// good ones stay in force whatever the issuer says or does not say later.
type Remote struct {
	cfg     RemoteConfig
	client  *http.Client
	source  keyDocument
	ignored ignoredKeys              // run's own
	keys    atomic.Pointer[jwks.Set] // nil before any were loaded

	mu       sync.Mutex
	underWay *refresh  // nil when there is none
	ended    time.Time // when the last refresh ended
	failure  error     // why it failed, nil if it did not

	asked  chan struct{} // a check has begun a refresh
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
}

// refresh is one attempt that checks may wait for.
type refresh struct {
	began   time.Time
	waiting int           // checks that came to wait, under Remote's lock
	done    chan struct{} // closed at the end
	err     error         // good after done
}

// NewRemote begins to load the keys, and keeps them fresh until Close.
func NewRemote(cfg RemoteConfig) (*Remote, error) {
	source, err := newKeyDocument(cfg.Issuer, cfg.JWKSURL)
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Observer = observed(cfg.Observer)
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
		cfg: cfg, client: newDocumentClient(cfg.Client, source.reach), source: source,
		asked: make(chan struct{}, 1), done: make(chan struct{}),
	}
	r.ignored = ignoredKeys{log: cfg.Log.With("issuer", cfg.Name), observer: cfg.Observer}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.begin() // so that the first check waits for what the clock begins, and begins no other
	go r.run()
	return r, nil
}

// Close ends a refresh under way and waits until nothing runs any more. The keys stay.
func (r *Remote) Close() error {
	r.cancel()
	<-r.done
	r.client.CloseIdleConnections()
	return nil
}

// Holds tells whether a key found earlier is still one of the issuer's.
func (r *Remote) Holds(key *jwks.Key) bool {
	keys := r.keys.Load()
	return keys != nil && keys.Has(key)
}

// Find returns the key that the id and the algorithm name. A known one comes
// from memory. For an unknown one the issuer is asked again, once for all who
// ask and not more often than MinInterval. The error is jwks.ErrNoKey where a
// recent answer of the issuer does not have the key, jwks.ErrManyKeys where the
// token says too little; any other means that nobody can tell.
func (r *Remote) Find(ctx context.Context, kid string, hasKid bool, algorithm string, _ time.Time) (*jwks.Key, error) {
	keys := r.keys.Load()
	if keys != nil {
		if key, err := keys.Find(kid, hasKid, algorithm); !errors.Is(err, jwks.ErrNoKey) {
			return key, err
		}
	}
	if err := r.await(ctx); err != nil {
		return nil, fmt.Errorf("keys of issuer %s: %w", r.cfg.Name, err)
	}
	return r.keys.Load().Find(kid, hasKid, algorithm)
}

var (
	errSlow    = errors.New("no answer yet")
	errCrowded = errors.New("too many checks wait for it")
)

// await returns nil once the issuer has answered lately, whoever asked it. It
// begins a refresh if that may be, and waits for the one under way.
func (r *Remote) await(ctx context.Context) error {
	r.mu.Lock()
	if r.underWay == nil {
		if time.Since(r.ended) < r.cfg.MinInterval {
			defer r.mu.Unlock()
			return r.failure
		}
		r.begin()
		r.asked <- struct{}{}
	}
	current := r.underWay
	current.waiting++
	crowded := current.waiting > maxWaiting
	r.mu.Unlock()
	if crowded {
		return errCrowded
	}
	timer := time.NewTimer(r.cfg.Wait - time.Since(current.began)) // at once where that is over
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

// begin notes that a refresh begins. The lock must be held, or nobody else know r.
func (r *Remote) begin() {
	r.underWay = &refresh{began: time.Now(), done: make(chan struct{})}
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
		case <-r.asked:
		}
		if err := r.refresh(scheduled); err != nil {
			failures++
		} else {
			failures = 0
		}
		// What checks ask for must not put off what is due by the clock, or
		// who keeps asking would keep discovery from ever being done anew.
		if scheduled || failures == 1 {
			timer.Reset(r.rest(failures))
		}
	}
}

// refresh reads the keys anew and puts them in force if they are good.
func (r *Remote) refresh(scheduled bool) error {
	current := r.takeUp()
	ctx, cancel := context.WithTimeout(r.ctx, refreshTimeout)
	defer cancel()
	keys, err := r.source.load(ctx, r.client, scheduled)
	if err == nil {
		r.keys.Store(keys)
	}
	if r.ctx.Err() == nil { // or it was closed, which says nothing about the issuer
		r.report(keys, err)
	}
	r.mu.Lock()
	r.underWay, r.ended, r.failure = nil, time.Now(), err
	current.err = err
	close(current.done)
	r.mu.Unlock()
	return err
}

// report lets the observer and the log know, the lock not being held: run's
// goroutine alone changes failure, so it may read it.
func (r *Remote) report(keys *jwks.Set, err error) {
	r.cfg.Observer.Refreshed(err)
	if err == nil {
		r.ignored.read(keys)
	}
	switch {
	case err != nil:
		r.cfg.Log.Warn("reading an issuer's keys", "issuer", r.cfg.Name, "loaded", r.keys.Load() != nil, "error", err)
	case r.failure != nil:
		r.cfg.Log.Info("an issuer's keys can be read again", "issuer", r.cfg.Name, "keys", keys.Len())
	}
}

// takeUp returns the refresh that a check has begun, or begins one.
func (r *Remote) takeUp() *refresh {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underWay == nil {
		r.begin()
	}
	select {
	case <-r.asked: // the timer came first
	default:
	}
	return r.underWay
}

// rest is how long to leave the issuer alone after so many failures in a row.
// Many of us may have failed at the same moment, and spread out again.
func (r *Remote) rest(failures int) time.Duration {
	rest := r.cfg.Refresh
	if failures > 0 {
		rest = min(firstRetry<<min(failures-1, 16), r.cfg.Refresh)
	}
	return rest - rest/10 + rand.N(rest/5+1)
}
