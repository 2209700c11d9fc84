package ratelimit

import (
	"context"
	"errors"
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
}

var errLate = errors.New("ratelimit: no answer in time")

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
	go func() {
		c.refused, c.err = askStore(f.running, f.cfg.Store, now, c.limits[:c.n], c.results[:c.n], charge)
		c.done <- struct{}{}
	}()
	return c
}

func newCall() any { return &call{done: make(chan struct{}, 1)} }

func askStore(ctx context.Context, s Store, now time.Time, limits []Limit, results []Result, charge bool) (int, error) {
	if charge {
		return s.Take(ctx, now, limits, results)
	}
	return s.Peek(ctx, now, limits, results)
}

// settleLate waits for the answer that nobody waits for any more.
func (f *Fallback) settleLate(c *call, alone admitted) {
	go func() {
		<-c.done
		f.settle(c, alone)
	}()
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
