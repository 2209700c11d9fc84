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

// WhenAway says what to do while the shared store can't be asked. The zero one denies.
type WhenAway uint8

// What may be done.
const (
	Deny  WhenAway = iota // ErrAway: nobody passes
	Local                 // each replica counts for itself and lets its share pass
	Allow                 // all pass
)

// Why nothing may be done without the shared store.
var (
	// ErrAway means that it can't be asked.
	ErrAway = errors.New("ratelimit: the shared store is unavailable")
	// ErrLate means that this process is too busy to read its answer. Allow does
	// not apply then: a client that keeps the process busy would let all pass.
	ErrLate = errors.New("ratelimit: this process is too busy to read the shared store's answer")
)

// FallbackConfig is what a Fallback is made of.
type FallbackConfig struct {
	Store Store // the shared one; must bound the time of each call
	When  WhenAway
	// Timeout is how long a request waits for the store; 0 is 20 ms. The store's
	// own bound should be longer: what it says too late is then not lost.
	Timeout time.Duration
	// Local counts while the store is away, and goes along before; needed for When Local.
	Local *Memory
	// Replicas is how many there are; each has one part in so many. 0 is 1.
	Replicas int
	// Holds is of how many buckets is remembered that they are used up, so that
	// the store need not be asked, and of how many what it has still to be told; 0 is 65,536.
	Holds int
	// Every is the time between two looks whether the store is back; 0 is 250 ms.
	Every time.Duration
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
	cfg     FallbackConfig
	circuit circuit
	holds   *holds
	debts   *debts
	calls   sync.Pool // of *call
	late    lateness
	without atomic.Uint64
	// answered is the time of the last question that got an answer in time, in
	// nanoseconds since born; 0: none did. Between the times of a running clock that is monotonic.
	born     time.Time
	answered atomic.Int64

	wake    chan struct{}
	running context.Context // until Close
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// NewFallback starts the goroutine that Close ends.
func NewFallback(cfg FallbackConfig) (*Fallback, error) {
	switch {
	case cfg.Store == nil || cfg.When == Local && cfg.Local == nil:
		return nil, errors.New("ratelimit: a part is missing from the FallbackConfig")
	case cfg.When > Allow || cfg.Replicas < 0 || cfg.Replicas > maxReplicas || cfg.Holds < 0 || cfg.Every < 0 || cfg.Timeout < 0:
		return nil, fmt.Errorf("ratelimit: the FallbackConfig is out of bounds; replicas are at most %d", maxReplicas)
	}
	if cfg.Holds == 0 {
		cfg.Holds = defaultHolds
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Every == 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &Fallback{
		cfg: cfg, holds: newHolds(cfg.Holds), debts: newDebts(cfg.Holds, cfg.Replicas),
		calls: sync.Pool{New: newCall}, wake: make(chan struct{}, 1), born: time.Now(),
		late: newLateness(cfg.Now, cfg.Timeout),
	}
	if cfg.When != Allow { // which wants to be sure
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
	return f.ask(ctx, now, limits, results, true)
}

// Peek implements Store.
func (f *Fallback) Peek(ctx context.Context, now time.Time, limits []Limit, results []Result) (int, error) {
	return f.ask(ctx, now, limits, results, false)
}

func (f *Fallback) ask(ctx context.Context, now time.Time, limits []Limit, results []Result, charge bool) (int, error) {
	if err := checkRoom(limits, results); err != nil {
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
	if refused := f.holds.refuse(now, limits, results); refused != NotRefused {
		return refused, nil
	}
	if !f.circuit.enter() {
		refused, let, err := f.alone(now, limits, results, charge, true)
		for i := range limits {
			f.owe(now, &limits[i], int(let>>i&1))
		}
		return refused, err
	}
	c := f.begin(now, limits, charge)
	how := f.wait(ctx, c)
	switch how {
	case answered:
		return f.inTime(c, limits, results)
	case abandoned: // which says nothing about the store
		f.circuit.leave(nothing)
		f.settleLate(c, 0, how)
		return NotRefused, ctx.Err()
	case timedOut:
		f.failed(errTimeout)
	case undecided:
		f.circuit.leave(nothing)
	case unheard: // settleLate finds out
	}
	refused, let, err := f.alone(now, limits, results, charge, how == timedOut)
	f.settleLate(c, let, how)
	return refused, err
}

// inTime is the answer of a call that came back.
func (f *Fallback) inTime(c *call, limits []Limit, results []Result) (refused int, err error) {
	let := admitted(0)
	if c.err == nil {
		f.circuit.leave(fine)
		f.answered.Store(int64(c.now.Sub(f.born)))
		refused = c.refused
		copy(results, c.results[:c.n])
		f.learn(c)
	} else {
		f.failed(c.err)
		refused, let, err = f.alone(c.now, limits, results, c.charge, true)
	}
	f.settle(c, let)
	return refused, err
}

func (f *Fallback) failed(err error) { f.away(err, f.circuit.leave(failed)) }

// away notes an error of the store. If it opened the circuit, a goroutine looks
// for the store until it is back.
func (f *Fallback) away(err error, opened bool) {
	if opened {
		f.cfg.Log.Warn("rate limits: the shared store does not answer; going on without it", "error", err)
		f.wake <- struct{}{}
	}
}

// learn charges here too what was charged there, so that nobody has another
// burst when the store goes away.
func (f *Fallback) learn(c *call) {
	if f.cfg.When == Local && c.charge && c.refused == NotRefused {
		var shares [MaxLimits]Limit
		f.cfg.Local.add(c.now, f.shares(shares[:0], c.limits[:c.n]))
	}
}

// alone decides without the store, and returns which limits let the request in
// only because of that. Unless sure that the store is to blame, it does not let
// all pass.
func (f *Fallback) alone(now time.Time, limits []Limit, results []Result, charge, sure bool) (refused int, let admitted, err error) {
	f.without.Add(1)
	refused = NotRefused
	switch f.cfg.When {
	case Local:
		var shares [MaxLimits]Limit
		refused, err = f.cfg.Local.ask(now, f.shares(shares[:0], limits), results, charge)
	case Allow:
		if !sure {
			return NotRefused, 0, ErrLate
		}
		reportWhole(limits, results)
	default:
		return NotRefused, 0, ErrAway
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
	f.holds.reset(buckets)
	f.debts.reset(buckets)
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
		if !f.await(ctx, &n) {
			return
		}
		f.circuit.close()
		f.cfg.Log.Info("rate limits: the shared store answers again", "away", time.Since(since).Round(time.Millisecond))
	}
}

// await returns when the store answers; false when ctx ends before.
func (f *Fallback) await(ctx context.Context, n *uint64) bool {
	ticker := time.NewTicker(f.cfg.Every)
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
// written is still away. They are of several owners, others each time, and so
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
	_, err := askStore(ctx, f.cfg.Store, time.Now(), limits[:], results[:], true)
	if now := f.cfg.Now(); err == nil && now.Sub(began) > f.cfg.Timeout {
		if f.late.note(now); !f.late.since(began) {
			return errTimeout
		}
	}
	return err
}

// FallbackStats say how the store is. The counts are since the start.
type FallbackStats struct {
	Away     bool   // right now nobody asks the store
	Opened   uint64 // times it went away
	Failures uint64 // requests that asked it and got no answer
	Without  uint64 // requests that were decided without it, with those that got no answer
	Held     uint64 // requests that were refused without asking, by what it had said
}

// Stats returns them.
func (f *Fallback) Stats() FallbackStats {
	f.circuit.mu.Lock()
	s := FallbackStats{Away: f.circuit.open, Opened: f.circuit.opened, Failures: f.circuit.failures}
	f.circuit.mu.Unlock()
	s.Without, s.Held = f.without.Load(), f.holds.refusals()
	return s
}
