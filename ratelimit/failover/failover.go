// Package failover is a ratelimit.Store in front of the store that replicas
// share. It decides what happens while that store is unavailable: deny, count
// locally, or allow. A circuit breaker finds out, requests wait for a short time
// only, and what was allowed meanwhile is charged afterwards.
package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"keyward/authz/nowait"
	"keyward/ratelimit"
)

// OnStoreFailure says what to do while the shared store is unavailable. The zero
// value denies.
type OnStoreFailure uint8

// The choices.
const (
	FailClosed OnStoreFailure = iota // ErrStoreUnavailable: every request is denied
	FailLocal                        // each replica counts on its own and allows its share
	FailOpen                         // every request is allowed
)

// Errors of a Store that does not decide without the shared one.
var (
	// ErrStoreUnavailable means that the store cannot be reached or used.
	ErrStoreUnavailable = errors.New("ratelimit: the shared store is unavailable")
	// ErrProcessLate means that this process is too busy to read the store's
	// reply. FailOpen does not apply then, because a client that keeps the
	// process busy would have every request allowed.
	ErrProcessLate = errors.New("ratelimit: this process is too busy to read the shared store's reply")
)

// Config holds the parts of a Store.
type Config struct {
	Store          ratelimit.Store // the shared store; it must bound the time of each call
	OnStoreFailure OnStoreFailure
	// Timeout is how long a request waits for the store; 0 means 20 ms. The
	// store's own timeout should be longer, so that late replies are not lost.
	Timeout time.Duration
	// Local counts while the store is unavailable, and mirrors it before. It is
	// required for FailLocal.
	Local *ratelimit.Memory
	// Replicas is the number of replicas, which share each rate equally; 0
	// means 1.
	Replicas int
	// MaxDenials is the number of exhausted buckets that are cached, so that
	// the store need not be asked. It also bounds the number of buckets with
	// pending charges. 0 means 65,536.
	MaxDenials int
	// ProbeInterval is the time between two probes of an unavailable store; 0
	// means 250 ms.
	ProbeInterval time.Duration
	// Now is the clock that shows how late this process is; nil means time.Now.
	Now func() time.Time
	// Log gets a line when the store becomes unavailable and one when it
	// answers again; nil means no log.
	Log *slog.Logger
}

const (
	defaultTimeout = 20 * time.Millisecond
	defaultEvery   = 250 * time.Millisecond
	maxReplicas    = 10_000
)

// Store is a Store that uses a shared one, and continues without it while
// that is down, slow, full or read-only. A few requests find that out. After
// that, no request waits for the store until a goroutine finds that it answers
// again. Requests that were allowed in the meantime are charged to it
// afterwards.
type Store struct {
	cfg            Config
	circuit        circuit
	denials        *denialCache
	pending        *pendingCharges
	calls          sync.Pool // of *storeCall
	lateness       lateness
	localDecisions atomic.Uint64
	// answeredAt is the time of the last call that was answered in time, in
	// nanoseconds since createdAt; 0: none was. For readings of a running clock
	// that difference is monotonic.
	createdAt  time.Time
	answeredAt atomic.Int64

	wake    chan struct{}
	running context.Context // until Close
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// New returns a Store and starts its goroutine, which Close ends.
func New(cfg Config) (*Store, error) {
	switch {
	case cfg.Store == nil || cfg.OnStoreFailure == FailLocal && cfg.Local == nil:
		return nil, errors.New("ratelimit: a part is missing from the failover.Config")
	case cfg.OnStoreFailure > FailOpen || cfg.Replicas < 0 || cfg.Replicas > maxReplicas || cfg.MaxDenials < 0 || cfg.ProbeInterval < 0 || cfg.Timeout < 0:
		return nil, fmt.Errorf("ratelimit: the failover.Config is out of bounds; replicas are at most %d", maxReplicas)
	}
	if cfg.MaxDenials == 0 {
		cfg.MaxDenials = defaultDenials
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.ProbeInterval == 0 {
		cfg.ProbeInterval = defaultEvery
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &Store{
		cfg: cfg, denials: newDenialCache(cfg.MaxDenials), pending: newPendingCharges(cfg.MaxDenials, cfg.Replicas),
		calls: sync.Pool{New: newStoreCall}, wake: make(chan struct{}, 1), createdAt: time.Now(),
		lateness: newLateness(cfg.Now, cfg.Timeout),
	}
	if cfg.OnStoreFailure != FailOpen { // FailOpen does not allow requests on a stall alone
		f.circuit.stallAfter = cfg.Timeout / 2
	}
	f.running, f.stop = context.WithCancel(context.Background())
	f.stopped.Go(func() { f.watch(f.running) })
	return f, nil
}

// Close ends the goroutines and waits for them. Later calls are answered as if
// the store were unavailable. The stores stay open.
func (f *Store) Close() error {
	f.circuit.end()
	f.stop()
	f.stopped.Wait()
	f.circuit.running.Wait()
	return nil
}

// Take implements Store.
func (f *Store) Take(ctx context.Context, now time.Time, limits []ratelimit.Limit, results []ratelimit.Result) (int, error) {
	return f.take(ctx, now, limits, results, true)
}

// Peek implements Store.
func (f *Store) Peek(ctx context.Context, now time.Time, limits []ratelimit.Limit, results []ratelimit.Result) (int, error) {
	return f.take(ctx, now, limits, results, false)
}

func (f *Store) take(ctx context.Context, now time.Time, limits []ratelimit.Limit, results []ratelimit.Result, charge bool) (int, error) {
	if err := ratelimit.CheckLimits(limits, results); err != nil {
		return ratelimit.NotRefused, err
	}
	for i := range limits {
		if err := limits[i].Rate.Validate(); err != nil {
			return ratelimit.NotRefused, err
		}
	}
	if err := ctx.Err(); err != nil || len(limits) == 0 {
		return ratelimit.NotRefused, err
	}
	if refused := f.denials.deny(now, limits, results); refused != ratelimit.NotRefused {
		return refused, nil
	}
	if err := nowait.Allowed(ctx); err != nil {
		return ratelimit.NotRefused, err
	}
	if !f.circuit.allow() {
		refused, let, err := f.decideLocally(now, limits, results, charge, true)
		for i := range limits {
			f.deferCharge(now, &limits[i], int(let>>i&1))
		}
		return refused, err
	}
	c := f.startCall(now, limits, charge)
	how := f.wait(ctx, c)
	switch how {
	case answered:
		return f.useReply(c, limits, results)
	case callerLeft: // this says nothing about the store
		f.circuit.done(inconclusive)
		f.reconcileLate(c, 0, how)
		return ratelimit.NotRefused, ctx.Err()
	case timedOut:
		f.failed(errTimeout)
	case undecided:
		f.circuit.done(inconclusive)
	case causeUnknown: // reconcileLate finds out
	}
	refused, let, err := f.decideLocally(now, limits, results, charge, how == timedOut)
	f.reconcileLate(c, let, how)
	return refused, err
}

// useReply returns the outcome of a completed call.
func (f *Store) useReply(c *storeCall, limits []ratelimit.Limit, results []ratelimit.Result) (refused int, err error) {
	let := limitSet(0)
	if c.err == nil {
		f.circuit.done(succeeded)
		f.answeredAt.Store(int64(c.now.Sub(f.createdAt)))
		refused = c.refused
		copy(results, c.results[:c.n])
		f.mirrorLocally(c)
	} else {
		f.failed(c.err)
		refused, let, err = f.decideLocally(c.now, limits, results, c.charge, true)
	}
	f.reconcile(c, let)
	return refused, err
}

// failed records a call that failed. Close cancels the calls that are in
// flight, and their errors say nothing about the store.
func (f *Store) failed(err error) {
	if f.running.Err() != nil {
		f.circuit.done(inconclusive)
		return
	}
	f.reportError(err, f.circuit.done(failed))
}

// reportError reports an error of the store. If it opened the circuit, a
// goroutine probes the store until it answers again.
func (f *Store) reportError(err error, opened bool) {
	if opened {
		f.cfg.Log.Warn("rate limits: the shared store is unavailable; applying on_store_failure", "error", err)
		f.wake <- struct{}{}
	}
}

// mirrorLocally charges locally what the store has charged, so that no client
// gets another burst when the store becomes unavailable.
func (f *Store) mirrorLocally(c *storeCall) {
	if f.cfg.OnStoreFailure == FailLocal && c.charge && c.refused == ratelimit.NotRefused {
		var shares [ratelimit.MaxLimits]ratelimit.Limit
		f.cfg.Local.Charge(c.now, f.shares(shares[:0], c.limits[:c.n]))
	}
}

// decideLocally decides without the store. let are the limits that allowed the
// request only because of that. FailOpen allows requests only if sure, that is
// if the store is the cause.
func (f *Store) decideLocally(now time.Time, limits []ratelimit.Limit, results []ratelimit.Result, charge, sure bool) (refused int, let limitSet, err error) {
	f.localDecisions.Add(1)
	refused = ratelimit.NotRefused
	switch f.cfg.OnStoreFailure {
	case FailLocal:
		var shares [ratelimit.MaxLimits]ratelimit.Limit
		refused, err = callStore(f.running, f.cfg.Local, now, f.shares(shares[:0], limits), results, charge)
	case FailOpen:
		if !sure {
			return ratelimit.NotRefused, 0, ErrProcessLate
		}
		reportFull(limits, results)
	default:
		return ratelimit.NotRefused, 0, ErrStoreUnavailable
	}
	if err != nil || refused != ratelimit.NotRefused || !charge {
		return refused, 0, err
	}
	for i := range limits {
		if results[i].Allowed {
			let |= 1 << i
		}
	}
	return refused, let, nil
}

func (f *Store) shares(dst, limits []ratelimit.Limit) []ratelimit.Limit {
	for i := range limits {
		share := limits[i]
		share.Rate = share.Rate.Share(f.cfg.Replicas)
		dst = append(dst, share)
	}
	return dst
}

// Reset implements Store. Other replicas drop their cached denials within a
// second.
func (f *Store) Reset(ctx context.Context, buckets ...ratelimit.Bucket) error {
	err := f.cfg.Store.Reset(ctx, buckets...)
	f.denials.reset(buckets)
	f.pending.reset(buckets)
	if f.cfg.Local != nil {
		err = errors.Join(err, f.cfg.Local.Reset(ctx, buckets...))
	}
	return err
}

// Stats describes the state of the store. The counts are since the start.
type Stats struct {
	Unavailable    bool   // the store is not being used
	Opened         uint64 // times that the store became unavailable
	Failures       uint64 // calls to the store that failed or timed out
	LocalDecisions uint64 // requests decided without the store, including those after a failed call
	CachedDenials  uint64 // requests refused by a cached denial, without asking the store
}

// Stats returns the current state.
func (f *Store) Stats() Stats {
	f.circuit.mu.Lock()
	s := Stats{Unavailable: f.circuit.open, Opened: f.circuit.opened, Failures: f.circuit.failures}
	f.circuit.mu.Unlock()
	s.LocalDecisions, s.CachedDenials = f.localDecisions.Load(), f.denials.denied()
	return s
}
