package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/ratelimit"
)

// storeCall is one request to the shared store. It may outlive the HTTP request
// that waits for it: a store that is late has probably counted the request, and
// only its reply shows whether it did.
type storeCall struct {
	limits  [ratelimit.MaxLimits]ratelimit.Limit
	results [ratelimit.MaxLimits]ratelimit.Result
	n       int
	now     time.Time
	charge  bool

	refused int
	err     error
	done    chan struct{} // receives one value
	timer   *time.Timer   // of the waiting request
	began   time.Time     // by this process's clock, when the timer was set
}

var errTimeout = errors.New("ratelimit: no reply in time")

// startCall starts a request to the store. The caller must reconcile it
// afterwards.
func (f *Store) startCall(now time.Time, limits []ratelimit.Limit, charge bool) *storeCall {
	c := f.calls.Get().(*storeCall)
	c.results = [ratelimit.MaxLimits]ratelimit.Result{}
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

// callStore calls the store. It turns a panic of the store into an error, since
// that must not end the process.
func callStore(ctx context.Context, s ratelimit.Store, now time.Time, limits []ratelimit.Limit, results []ratelimit.Result, charge bool) (refused int, err error) {
	defer func() {
		if v := recover(); v != nil {
			refused, err = ratelimit.NotRefused, fmt.Errorf("ratelimit: the store panicked: %v", v)
		}
	}()
	if charge {
		return s.Take(ctx, now, limits, results)
	}
	return s.Peek(ctx, now, limits, results)
}

// waitResult is how the wait for a reply ended.
type waitResult uint8

const (
	answered     waitResult = iota
	callerLeft              // the caller stopped waiting
	timedOut                // the store was late
	undecided               // no reply, and this process was late itself
	causeUnknown            // no reply, and the cause is not known yet
)

// lateRounds is the number of timeouts for which a request waits while this
// process is late itself.
const lateRounds = 3

// wait waits for the reply. While this process is late itself, the store gets
// more time, unless this replica can decide instead.
func (f *Store) wait(ctx context.Context, c *storeCall) waitResult {
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

// findCause determines why there was no reply in time: it has arrived by now,
// the store was late, or this process probably was.
func (f *Store) findCause(c *storeCall) waitResult {
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

// reconcileLate waits for a reply whose request has continued without it, and
// records what it says about the store. The store bounds the wait.
func (f *Store) reconcileLate(c *storeCall, local limitSet, how waitResult) {
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
		f.reconcile(c, local)
	}()
}

func (f *Store) recordOutcome(err error) {
	switch {
	case err == nil:
		f.circuit.record(succeeded)
	case f.running.Err() == nil:
		f.reportError(err, f.circuit.record(failed))
	}
}

// limitSet has one bit for each limit. It marks the limits under which a
// request was allowed without the store.
type limitSet uint8

// reconcile records what the store has replied, and what must still be charged
// there. A store that failed, or never replied, may have charged the request
// and the deferred ones nevertheless. They are charged once more. At worst, one
// request too few is allowed for each, never one too many.
func (f *Store) reconcile(c *storeCall, local limitSet) {
	if c.err == nil {
		f.denials.record(c.now, c.limits[:c.n], c.results[:c.n])
	}
	for i := range c.limits[:c.n] {
		limit, result := &c.limits[i], &c.results[i]
		deferred, charged := limit.Deferred, false
		if c.err == nil {
			deferred -= result.Applied
			charged = c.charge && c.refused == ratelimit.NotRefused && result.Allowed
		}
		if local&(1<<i) != 0 && !charged {
			deferred++
		}
		f.deferCharge(c.now, limit, deferred)
	}
	f.calls.Put(c)
	f.circuit.running.Done()
}

func (f *Store) deferCharge(now time.Time, limit *ratelimit.Limit, n int) {
	if n <= 0 {
		return
	}
	answered := now
	if nanos := f.answeredAt.Load(); nanos != 0 {
		answered = f.createdAt.Add(time.Duration(nanos))
	}
	f.pending.add(now, answered, limit, n)
}
