package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// storeCall is one request to the shared store. It may outlive the HTTP request
// that waits for it: a store that is late has probably counted the request, and
// only its answer tells.
type storeCall struct {
	limits  [MaxLimits]Limit
	results [MaxLimits]Result
	n       int
	now     time.Time
	charge  bool

	refused int
	err     error
	done    chan struct{} // gets one
	timer   *time.Timer   // of the request that waits
	began   time.Time     // by our clock, when the timer was set
}

var errTimeout = errors.New("ratelimit: no answer in time")

// startCall asks the store. The call must be reconciled afterwards.
func (f *Fallback) startCall(now time.Time, limits []Limit, charge bool) *storeCall {
	c := f.calls.Get().(*storeCall)
	c.results = [MaxLimits]Result{}
	c.n, c.now, c.charge = copy(c.limits[:], limits), now, charge
	if charge {
		f.pending.take(now, c.limits[:c.n])
	}
	if c.timer == nil {
		c.timer = time.NewTimer(f.cfg.Timeout)
	} else {
		c.timer.Reset(f.cfg.Timeout)
	}
	c.began = f.cfg.Now()
	go func() {
		c.refused, c.err = callStore(f.running, f.cfg.Store, now, c.limits[:c.n], c.results[:c.n], charge)
		c.done <- struct{}{}
	}()
	return c
}

func newStoreCall() any { return &storeCall{done: make(chan struct{}, 1)} }

// callStore asks, and makes an error of a store's panic: it must not end the process.
func callStore(ctx context.Context, s Store, now time.Time, limits []Limit, results []Result, charge bool) (refused int, err error) {
	defer func() {
		if v := recover(); v != nil {
			refused, err = NotRefused, fmt.Errorf("ratelimit: the store panicked: %v", v)
		}
	}()
	if charge {
		return s.Take(ctx, now, limits, results)
	}
	return s.Peek(ctx, now, limits, results)
}

// waitResult is how the waiting for an answer ended.
type waitResult uint8

const (
	answered     waitResult = iota
	callerLeft              // the caller left
	timedOut                // the store was late
	undecided               // no answer, and this process was late itself
	causeUnknown            // no answer, and the cause is not known yet
)

// lateRounds is how often a request waits for the store while this process is late itself.
const lateRounds = 3

// wait waits for the answer. While this process is late itself, the store gets
// more time, unless this replica can decide instead.
func (f *Fallback) wait(ctx context.Context, c *storeCall) waitResult {
	for round := 1; ; round++ {
		select {
		case <-c.done:
			c.timer.Stop()
			return answered
		case <-ctx.Done():
			c.timer.Stop()
			return callerLeft
		case <-c.timer.C:
		}
		if f.cfg.OnStoreFailure == FailLocal {
			return causeUnknown
		}
		switch how := f.findCause(c); {
		case how == answered:
			<-c.done
			return answered
		case how == timedOut || round == lateRounds:
			return how
		}
		c.began = f.cfg.Now()
		c.timer.Reset(f.cfg.Timeout)
	}
}

// findCause finds out why there was no answer in time: it has come by now, the store
// was late, or this process probably was.
func (f *Fallback) findCause(c *storeCall) waitResult {
	f.lateness.note(c.began.Add(f.cfg.Timeout))
	switch {
	case len(c.done) > 0:
		return answered
	case f.lateness.since(c.began):
		return undecided
	default:
		return timedOut
	}
}

// reconcileLate waits for an answer whose request has gone on without it, and
// notes what it says of the store. The store bounds the wait.
func (f *Fallback) reconcileLate(c *storeCall, alone limitSet, how waitResult) {
	go func() {
		if how == causeUnknown {
			how = f.findCause(c)
			if how == timedOut {
				f.failed(errTimeout)
			} else {
				f.circuit.done(inconclusive)
			}
		}
		<-c.done
		if how == undecided || how == answered {
			f.recordOutcome(c.err)
		}
		f.reconcile(c, alone)
	}()
}

func (f *Fallback) recordOutcome(err error) {
	switch {
	case err == nil:
		f.circuit.record(succeeded)
	case f.running.Err() == nil:
		f.reportError(err, f.circuit.record(failed))
	}
}

// limitSet are the limits, a bit for each, under which a request was let in without the store.
type limitSet uint8

// reconcile notes what the store has said, and what it has still to be told. A
// store that failed, or never answered, may have charged the request and what was deferred all the same.
// They are charged once more: at worst one too few is let in for each, never one too many.
func (f *Fallback) reconcile(c *storeCall, alone limitSet) {
	if c.err == nil {
		f.denials.record(c.now, c.limits[:c.n], c.results[:c.n])
	}
	for i := range c.limits[:c.n] {
		limit, result := &c.limits[i], &c.results[i]
		deferred, charged := limit.Deferred, false
		if c.err == nil {
			deferred -= result.Applied
			charged = c.charge && c.refused == NotRefused && result.Allowed
		}
		if alone&(1<<i) != 0 && !charged {
			deferred++
		}
		f.deferCharge(c.now, limit, deferred)
	}
	f.calls.Put(c)
	f.circuit.running.Done()
}

func (f *Fallback) deferCharge(now time.Time, limit *Limit, n int) {
	if n <= 0 {
		return
	}
	answered := now
	if nanos := f.answeredAt.Load(); nanos != 0 {
		answered = f.createdAt.Add(time.Duration(nanos))
	}
	f.pending.add(now, answered, limit, n)
}
