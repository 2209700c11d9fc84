package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// call is one question to the shared store. It outlives the request that waits
// for it: a store that is late has counted that all the same, and only its
// answer tells.
type call struct {
	limits  [MaxLimits]Limit
	results [MaxLimits]Result
	n       int
	now     time.Time
	charge  bool

	refused int
	err     error
	done    chan struct{} // gets one
	timer   *time.Timer   // of who waits
	began   time.Time     // by our clock, when the timer was set
}

var errTimeout = errors.New("ratelimit: no answer in time")

// begin asks. Then someone must settle the call.
func (f *Fallback) begin(now time.Time, limits []Limit, charge bool) *call {
	c := f.calls.Get().(*call)
	c.results = [MaxLimits]Result{}
	c.n, c.now, c.charge = copy(c.limits[:], limits), now, charge
	if charge {
		f.debts.take(now, c.limits[:c.n])
	}
	if c.timer == nil {
		c.timer = time.NewTimer(f.cfg.Timeout)
	} else {
		c.timer.Reset(f.cfg.Timeout)
	}
	c.began = f.cfg.Now()
	go func() {
		c.refused, c.err = askStore(f.running, f.cfg.Store, now, c.limits[:c.n], c.results[:c.n], charge)
		c.done <- struct{}{}
	}()
	return c
}

func newCall() any { return &call{done: make(chan struct{}, 1)} }

// askStore asks, and makes an error of a store's panic: it must not end the process.
func askStore(ctx context.Context, s Store, now time.Time, limits []Limit, results []Result, charge bool) (refused int, err error) {
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

// waited is how the waiting for an answer ended.
type waited uint8

const (
	answered  waited = iota
	abandoned        // the caller left
	timedOut         // the store was late
	undecided        // no answer, and this process was late itself
	unheard          // no answer, and the cause is not known yet
)

// lateRounds is how often a request waits for the store while this process is late itself.
const lateRounds = 3

// wait waits for the answer. While this process is late itself, the store gets
// more time, unless this replica can decide instead.
func (f *Fallback) wait(ctx context.Context, c *call) waited {
	for round := 1; ; round++ {
		select {
		case <-c.done:
			c.timer.Stop()
			return answered
		case <-ctx.Done():
			c.timer.Stop()
			return abandoned
		case <-c.timer.C:
		}
		if f.cfg.When == Local {
			return unheard
		}
		switch how := f.blame(c); {
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

// blame finds out why there was no answer in time: it has come by now, the store
// was late, or this process probably was.
func (f *Fallback) blame(c *call) waited {
	f.late.note(c.began.Add(f.cfg.Timeout))
	switch {
	case len(c.done) > 0:
		return answered
	case f.late.since(c.began):
		return undecided
	default:
		return timedOut
	}
}

// settleLate waits for an answer whose request has gone on without it, and
// notes what it says of the store. The store bounds the wait.
func (f *Fallback) settleLate(c *call, alone admitted, how waited) {
	go func() {
		if how == unheard {
			how = f.blame(c)
			if how == timedOut {
				f.failed(errTimeout)
			} else {
				f.circuit.leave(nothing)
			}
		}
		<-c.done
		if how == undecided || how == answered {
			f.judge(c.err)
		}
		f.settle(c, alone)
	}()
}

func (f *Fallback) judge(err error) {
	switch {
	case err == nil:
		f.circuit.note(fine)
	case f.running.Err() == nil:
		f.away(err, f.circuit.note(failed))
	}
}

// admitted are the limits, a bit for each, under which a request was let in without the store.
type admitted uint8

// settle notes what the store has said, and what it has still to be told. A
// store that failed, or never answered, may have charged the request and the debts all the same.
// They are charged once more: at worst one too few is let in for each, never one too many.
func (f *Fallback) settle(c *call, alone admitted) {
	if c.err == nil {
		f.holds.note(c.now, c.limits[:c.n], c.results[:c.n])
	}
	for i := range c.limits[:c.n] {
		limit, result := &c.limits[i], &c.results[i]
		owed, charged := limit.Owed, false
		if c.err == nil {
			owed -= result.Paid
			charged = c.charge && c.refused == NotRefused && result.Allowed
		}
		if alone&(1<<i) != 0 && !charged {
			owed++
		}
		f.owe(c.now, limit, owed)
	}
	f.calls.Put(c)
	f.circuit.running.Done()
}

func (f *Fallback) owe(now time.Time, limit *Limit, n int) {
	if n <= 0 {
		return
	}
	answered := now
	if nanos := f.answered.Load(); nanos != 0 {
		answered = f.born.Add(time.Duration(nanos))
	}
	f.debts.add(now, answered, limit, n)
}
