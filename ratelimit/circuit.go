package ratelimit

import (
	"sync"
	"time"
)

// circuit is the circuit breaker of a store. It opens when more than about one in
// ten calls fail, and is closed by a probe that has succeeded.
type circuit struct {
	mu       sync.Mutex
	open     bool
	score    int // up by failure for each that fails, down by one for each that doesn't
	inFlight int
	last     time.Time // when one last came back, or the first went off
	// stallAfter is how long nothing may come back until the next ones need not
	// find out for themselves that nothing will; 0 is for ever.
	stallAfter time.Duration

	failures, opened uint64

	ended   bool
	running sync.WaitGroup // calls, until they are reconciled
}

const (
	failure       = 10
	openAt        = 5 * failure
	halfOpen      = openAt - failure // closed again: the next failure opens it
	stallInFlight = 8                // where at least that many wait
)

// allow reports whether the store may be asked. If so, done must be called, and
// running is one more.
func (c *circuit) allow() bool {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.open || c.ended:
		return false
	case c.inFlight == 0:
		c.last = now
	case c.stallAfter > 0 && c.inFlight >= stallInFlight && now.Sub(c.last) > c.stallAfter:
		return false
	}
	c.inFlight++
	c.running.Add(1)
	return true
}

// outcome is what a call says about the store.
type outcome uint8

const (
	inconclusive outcome = iota // the caller was wrong or left, or this process was late
	succeeded
	failed
)

// done notes what came of a call, and reports whether the circuit opened by that.
func (c *circuit) done(o outcome) (opened bool) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	c.last = now
	return c.apply(o)
}

// record notes what came of a call that was left before that was known.
func (c *circuit) record(o outcome) (opened bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apply(o)
}

func (c *circuit) apply(o outcome) (opened bool) {
	switch o {
	case succeeded:
		c.score = max(c.score-1, 0)
	case failed:
		c.failures++
		c.score += failure
		if c.score >= openAt && !c.open {
			c.open = true
			c.opened++
			return true
		}
	}
	return false
}

// close lets requests through again, for good if none fails soon.
func (c *circuit) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open, c.score = false, halfOpen
}

// end lets none through any more.
func (c *circuit) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}
