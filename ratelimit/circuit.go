package ratelimit

import (
	"sync"
	"time"
)

// circuit tells whether to ask a store that may be away. It opens when more
// fail than one in ten or so; who closes it has asked by itself.
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
	running sync.WaitGroup // calls, until they are settled
}

const (
	failure     = 10
	breaksAt    = 5 * failure
	onProbation = breaksAt - failure // closed again: the next failure opens it
	stallOf     = 8                  // where at least that many wait
)

// enter tells whether the store may be asked; then leave must be called, and running is one more.
func (c *circuit) enter() bool {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.open || c.ended:
		return false
	case c.inFlight == 0:
		c.last = now
	case c.stallAfter > 0 && c.inFlight >= stallOf && now.Sub(c.last) > c.stallAfter:
		return false
	}
	c.inFlight++
	c.running.Add(1)
	return true
}

// outcome is what a call says about the store.
type outcome uint8

const (
	nothing outcome = iota // the caller was wrong or left, or this process was late
	fine
	failed
)

// leave notes what came of a call, and tells whether the circuit opened by that.
func (c *circuit) leave(o outcome) (opened bool) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	c.last = now
	return c.judge(o)
}

// note notes what came of a call that was left before that was known.
func (c *circuit) note(o outcome) (opened bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.judge(o)
}

func (c *circuit) judge(o outcome) (opened bool) {
	switch o {
	case fine:
		c.score = max(c.score-1, 0)
	case failed:
		c.failures++
		c.score += failure
		if c.score >= breaksAt && !c.open {
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
	c.open, c.score = false, onProbation
}

// end lets none through any more.
func (c *circuit) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}
