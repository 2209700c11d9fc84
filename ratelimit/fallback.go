package ratelimit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// OnStoreFailure says what to do while the shared store is unavailable. The zero
// value denies.
type OnStoreFailure uint8

// What may be done.
const (
	FailClosed OnStoreFailure = iota // ErrStoreUnavailable: every request is denied
	FailLocal                        // each replica counts for itself and lets its share pass
	FailOpen                         // all pass
)

// Why nothing may be done without the shared store.
var (
	// ErrStoreUnavailable means that it can't be asked.
	ErrStoreUnavailable = errors.New("ratelimit: the shared store is unavailable")
	// ErrProcessLate means that this process is too busy to read its answer. Allow does
	// not apply then: a client that keeps the process busy would let all pass.
	ErrProcessLate = errors.New("ratelimit: this process is too busy to read the shared store's answer")
)

// FallbackConfig is what a Fallback is made of.
type FallbackConfig struct {
	Store          Store // the shared one; must bound the time of each call
	OnStoreFailure OnStoreFailure
	// Timeout is how long a request waits for the store; 0 is 20 ms. The store's
	// own bound should be longer: what it says too late is then not lost.
	Timeout time.Duration
	// Local counts while the store is unavailable, and mirrors it before; needed for FailLocal.
	Local *Memory
	// Replicas is how many there are; each has one part in so many. 0 is 1.
	Replicas int
	// MaxDenials is of how many buckets is remembered that they are used up, so that
	// the store need not be asked, and of how many what it has still to be told; 0 is 65,536.
	MaxDenials int
	// ProbeInterval is the time between two looks whether the store is back; 0 is 250 ms.
	ProbeInterval time.Duration
	// Now is the clock that shows how late this process is; nil is time.Now.
	Now func() time.Time
	// Log gets a line when the store goes and one when it comes back; nil is none.
	Log *slog.Logger
}

const (
	defaultTimeout = 20 * time.Millisecond
	defaultEvery   = 250 * time.Millisecond
	maxReplicas    = 10_000
)

// Fallback is a Store that asks a shared one, and goes on without it when that
// is dead, slow, full or can't be written. A few requests find that out; then
// none waits for it until it is back, which a goroutine looks for. What was let
// in meanwhile is charged to it afterwards.
type Fallback struct {
	cfg            FallbackConfig
	circuit        circuit
	denials        *denialCache
	pending        *pendingCharges
	calls          sync.Pool // of *call
	lateness       lateness
	localDecisions atomic.Uint64
	// answered is the time of the last question that got an answer in time, in
	// nanoseconds since born; 0: none did. Between the times of a running clock that is monotonic.
	createdAt  time.Time
	answeredAt atomic.Int64

	wake    chan struct{}
	running context.Context // until Close
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// NewFallback starts the goroutine that Close ends.
func NewFallback(cfg FallbackConfig) (*Fallback, error) {
	switch {
	case cfg.Store == nil || cfg.OnStoreFailure == FailLocal && cfg.Local == nil:
		return nil, errors.New("ratelimit: a part is missing from the FallbackConfig")
	case cfg.OnStoreFailure > FailOpen || cfg.Replicas < 0 || cfg.Replicas > maxReplicas || cfg.MaxDenials < 0 || cfg.ProbeInterval < 0 || cfg.Timeout < 0:
		return nil, fmt.Errorf("ratelimit: the FallbackConfig is out of bounds; replicas are at most %d", maxReplicas)
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
	f := &Fallback{
		cfg: cfg, denials: newDenialCache(cfg.MaxDenials), pending: newPendingCharges(cfg.MaxDenials, cfg.Replicas),
		calls: sync.Pool{New: newStoreCall}, wake: make(chan struct{}, 1), createdAt: time.Now(),
		lateness: newLateness(cfg.Now, cfg.Timeout),
	}
	if cfg.OnStoreFailure != FailOpen { // which wants to be sure
		f.circuit.stallAfter = cfg.Timeout / 2
	}
	f.running, f.stop = context.WithCancel(context.Background())
	f.stopped.Go(func() { f.watch(f.running) })
	return f, nil
}

// Close ends the goroutines. Who asks later is told what is told while the store
// is away. The stores stay open.
func (f *Fallback) Close() error {
	f.circuit.end()
	f.stop()
	f.stopped.Wait()
	f.circuit.running.Wait()
	return nil
}

// Take implements Store.
func (f *Fallback) Take(ctx context.Context, now time.Time, limits []Limit, results []Result) (int, error) {
	return f.take(ctx, now, limits, results, true)
}

// Peek implements Store.
func (f *Fallback) Peek(ctx context.Context, now time.Time, limits []Limit, results []Result) (int, error) {
	return f.take(ctx, now, limits, results, false)
}

func (f *Fallback) take(ctx context.Context, now time.Time, limits []Limit, results []Result, charge bool) (int, error) {
	if err := CheckLimits(limits, results); err != nil {
		return NotRefused, err
	}
	for i := range limits {
		if err := limits[i].Rate.Validate(); err != nil {
			return NotRefused, err
		}
	}
	if err := ctx.Err(); err != nil || len(limits) == 0 {
		return NotRefused, err
	}
	if refused := f.denials.deny(now, limits, results); refused != NotRefused {
		return refused, nil
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
		return f.useAnswer(c, limits, results)
	case callerLeft: // which says nothing about the store
		f.circuit.done(inconclusive)
		f.reconcileLate(c, 0, how)
		return NotRefused, ctx.Err()
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

// useAnswer is the answer of a call that came back.
func (f *Fallback) useAnswer(c *storeCall, limits []Limit, results []Result) (refused int, err error) {
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

func (f *Fallback) failed(err error) { f.reportError(err, f.circuit.done(failed)) }

// reportError notes an error of the store. If it opened the circuit, a goroutine looks
// for the store until it is back.
func (f *Fallback) reportError(err error, opened bool) {
	if opened {
		f.cfg.Log.Warn("rate limits: the shared store does not answer; going on without it", "error", err)
		f.wake <- struct{}{}
	}
}

// mirrorLocally charges here too what was charged there, so that no client has
// another burst when the store becomes unavailable.
func (f *Fallback) mirrorLocally(c *storeCall) {
	if f.cfg.OnStoreFailure == FailLocal && c.charge && c.refused == NotRefused {
		var shares [MaxLimits]Limit
		f.cfg.Local.Charge(c.now, f.shares(shares[:0], c.limits[:c.n]))
	}
}

// decideLocally decides without the store, and returns which limits let the request in
// only because of that. Unless sure that the store is to blame, it does not let
// all pass.
func (f *Fallback) decideLocally(now time.Time, limits []Limit, results []Result, charge, sure bool) (refused int, let limitSet, err error) {
	f.localDecisions.Add(1)
	refused = NotRefused
	switch f.cfg.OnStoreFailure {
	case FailLocal:
		var shares [MaxLimits]Limit
		refused, err = f.cfg.Local.take(now, f.shares(shares[:0], limits), results, charge)
	case FailOpen:
		if !sure {
			return NotRefused, 0, ErrProcessLate
		}
		reportFull(limits, results)
	default:
		return NotRefused, 0, ErrStoreUnavailable
	}
	if err != nil || refused != NotRefused || !charge {
		return refused, 0, err
	}
	for i := range limits {
		if results[i].Allowed {
			let |= 1 << i
		}
	}
	return refused, let, nil
}

func (f *Fallback) shares(dst, limits []Limit) []Limit {
	for i := range limits {
		share := limits[i]
		share.Rate = share.Rate.Share(f.cfg.Replicas)
		dst = append(dst, share)
	}
	return dst
}

// Reset implements Store. What other replicas hold they ask for anew within a second.
func (f *Fallback) Reset(ctx context.Context, buckets ...Bucket) error {
	err := f.cfg.Store.Reset(ctx, buckets...)
	f.denials.reset(buckets)
	f.pending.reset(buckets)
	if f.cfg.Local != nil {
		err = errors.Join(err, f.cfg.Local.Reset(ctx, buckets...))
	}
	return err
}

// watch has the store asked for whenever it is away.
func (f *Fallback) watch(ctx context.Context) {
	for n := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		since := time.Now()
		if !f.waitForStore(ctx, &n) {
			return
		}
		f.circuit.close()
		f.cfg.Log.Info("rate limits: the shared store answers again", "away", time.Since(since).Round(time.Millisecond))
	}
}

// waitForStore returns when the store answers; false when ctx ends before.
func (f *Fallback) waitForStore(ctx context.Context, n *uint64) bool {
	ticker := time.NewTicker(f.cfg.ProbeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
		if *n++; f.probe(ctx, *n) == nil {
			return true
		}
	}
}

// probe charges buckets of nobody, so that a store which can be read and not be
// written is still away. They are of several subjects, others each time, and so
// on most of the nodes of a cluster.
func (f *Fallback) probe(ctx context.Context, n uint64) error {
	var limits [MaxLimits]Limit
	var results [MaxLimits]Result
	for i := range limits {
		limits[i] = Limit{Name: "probe", Rate: Rate{Count: 1000, Period: time.Second}, Shadow: true}
		binary.BigEndian.PutUint64(limits[i].Bucket[:8], n*MaxLimits+uint64(i))
	}
	ctx, cancel := context.WithTimeout(ctx, lateRounds*f.cfg.Timeout)
	defer cancel()
	began := f.cfg.Now()
	_, err := callStore(ctx, f.cfg.Store, time.Now(), limits[:], results[:], true)
	if now := f.cfg.Now(); err == nil && now.Sub(began) > f.cfg.Timeout {
		if f.lateness.note(now); !f.lateness.since(began) {
			return errTimeout
		}
	}
	return err
}

// FallbackStats say how the store is. The counts are since the start.
type FallbackStats struct {
	Unavailable    bool   // the store is not asked right now
	Opened         uint64 // times it went away
	Failures       uint64 // requests that asked it and got no answer
	LocalDecisions uint64 // requests that were decided without it, with those that got no answer
	CachedDenials  uint64 // requests that were refused without asking, by what it had said
}

// Stats returns them.
func (f *Fallback) Stats() FallbackStats {
	f.circuit.mu.Lock()
	s := FallbackStats{Unavailable: f.circuit.open, Opened: f.circuit.opened, Failures: f.circuit.failures}
	f.circuit.mu.Unlock()
	s.LocalDecisions, s.CachedDenials = f.localDecisions.Load(), f.denials.denied()
	return s
}
