package failover

import (
	"sync"
	"time"
)

// circuit is the circuit breaker of a store. It opens when more than about one
// in ten calls fail, and closes when a probe succeeds.
//
// It has no code in common with the breaker of verifier/tokensource. There a
// client's token may cause a failure, so failures are counted by client and
// network, and clients probe. Here a goroutine probes, and a share of failed
// calls opens the circuit.
type circuit struct {
	mu       sync.Mutex
	open     bool
	score    int // each failure adds failure, each success subtracts one
	inFlight int
	last     time.Time // when a call last returned, or the first one started
	// stallAfter is how long no call may return until new calls are refused
	// while others wait; 0 disables this.
	stallAfter time.Duration

	failures, opened uint64

	ended   bool
	running sync.WaitGroup // calls that are not reconciled yet
}

const (
	failure       = 10
	openAt        = 5 * failure
	halfOpen      = openAt - failure // after a probe: the next failure opens it
	stallInFlight = 8                // minimum of waiting calls for stallAfter to apply
)

// allow reports whether the store may be called. If so, the caller must call
// done, and running is incremented.
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
	inconclusive outcome = iota // the caller was wrong or stopped waiting, or this process was late
	succeeded
	failed
)

// done records the outcome of a call, and reports whether it opened the
// circuit.
func (c *circuit) done(o outcome) (opened bool) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	c.last = now
	return c.apply(o)
}

// record records an outcome that became known after done.
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

// close closes the circuit after a probe. A failure soon after opens it again.
func (c *circuit) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open, c.score = false, halfOpen
}

// end refuses all further calls.
func (c *circuit) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}
