// Package admission bounds the work of verifying credentials: how much is done
// at a time, how much may be spent on invalid ones, and which caller goes
// first. It sees no credential, and does not decide whether one is valid.
package admission

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

// The errors of Do. They mean that the work did not start.
var (
	// ErrBusy means that the work could not begin in time.
	ErrBusy = errors.New("admission: too much to verify")
	// ErrExhausted means that the client has used up its own budget of
	// failures.
	ErrExhausted = errors.New("admission: the client has failed too often")
)

// Config has the limits of a Gate.
type Config struct {
	// Slots is how many verifications run at a time; 0 is half of GOMAXPROCS,
	// at least one.
	Slots int
	// FailedWork is how many processors failed verifications may use on average;
	// 0 is an eighth of GOMAXPROCS. One client may use a quarter of that.
	FailedWork float64
	// QueueSize is how many callers may wait; 0 is 512.
	QueueSize int
	// MaxWait is how long a caller without a deadline waits; 0 is
	// DefaultMaxWait. See QueueTimeout for the others.
	MaxWait time.Duration
}

const (
	defaultQueueSize = 512

	// The budgets allow bursts of this much time.
	totalBurst  = 2 * time.Second
	clientBurst = 2 * time.Second
	// clientShare is the divisor of FailedWork that gives the share of one
	// client.
	clientShare = 4

	// maxCharge bounds what one signature is charged. It is wall-clock time,
	// which is too long on a busy machine.
	maxCharge = 20 * time.Millisecond
)

// Gate admits verifications. Each takes a slot while it runs. Failed ones are
// charged to two budgets: that of their client and that of all clients
// together. While the latter is used up, a client whose last credential was
// valid is still admitted, and all others wait, those with the fewest recent
// failures first. An unknown client therefore goes before those that sent forged
// tokens, and the processors stay free for other requests.
type Gate struct {
	slots     int
	queueSize int
	maxWait   time.Duration
	// The prices are the time until a budget has recovered from one unit of failed
	// work.
	totalPrice, clientPrice float64
	began                   time.Time

	mu          sync.Mutex
	running     int
	failed      tat // of all clients together
	clients     history
	waiting     []*waiter   // the next one first
	resumeTimer *time.Timer // fires when failed admits again; nil until it is needed
	refused     uint64
}

// New returns a Gate with the given limits.
func New(cfg Config) *Gate {
	procs := runtime.GOMAXPROCS(0)
	if cfg.Slots <= 0 {
		cfg.Slots = max(1, procs/2)
	}
	if cfg.FailedWork <= 0 {
		cfg.FailedWork = float64(procs) / 8
	}
	if cfg.QueueSize <= 0 {
		cfg.QueueSize = defaultQueueSize
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = DefaultMaxWait
	}
	return &Gate{
		slots: cfg.Slots, queueSize: cfg.QueueSize, maxWait: cfg.MaxWait, began: time.Now(),
		totalPrice: 1 / cfg.FailedWork, clientPrice: clientShare / cfg.FailedWork,
	}
}

// Do runs the work once it is admitted. The work verifies up to that many
// signatures, and returns whether the credential is valid; a panic counts as
// invalid. The error is ErrBusy or ErrExhausted.
func (g *Gate) Do(ctx context.Context, c Client, signatures int, work func() (valid bool)) error {
	if err := g.acquire(ctx, c); err != nil {
		return err
	}
	valid, start := false, g.now()
	defer func() { g.release(c, min(g.now()-start, time.Duration(signatures)*maxCharge), valid) }()
	valid = work()
	return nil
}

// Stats are how many verifications run now, and how many were refused since the
// start.
type Stats struct {
	InFlight int
	Refused  uint64
}

// Stats returns what the gate has counted.
func (g *Gate) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stats{g.running, g.refused}
}

// now returns the time since the gate was made, by the monotonic clock: setting
// the wall clock back makes no wait longer.
func (g *Gate) now() time.Duration { return time.Since(g.began) }

// acquire takes a slot, or waits for one.
func (g *Gate) acquire(ctx context.Context, c Client) error {
	w, err := g.join(c)
	if w == nil {
		return err
	}
	timeout := time.NewTimer(QueueTimeout(ctx, g.maxWait))
	defer timeout.Stop()
	select {
	case <-w.done:
	case <-ctx.Done():
	case <-timeout.C:
	}
	return g.endWait(w)
}

// join takes a slot if the client may have one now, and otherwise joins the
// queue. In the first case the waiter is nil.
func (g *Gate) join(c Client) (*waiter, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	standing := g.clients.standing(c, now)
	if standing.budgetBacklog > clientBurst {
		g.refused++
		return nil, ErrExhausted
	}
	w := &waiter{trusted: standing.trusted, rank: standing.rank()}
	if g.mayStart(w, now) && (len(g.waiting) == 0 || w.before(g.waiting[0])) {
		g.running++
		return nil, nil
	}
	w.done = make(chan struct{})
	g.clients.waited(c, now)
	g.push(w)
	g.dispatch(now)
	return w, nil
}

// endWait ends a wait and returns its result.
func (g *Gate) endWait(w *waiter) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.admitted {
		return nil
	}
	g.remove(w)
	g.refused++
	return ErrBusy
}

// release gives the slot back and charges failed work.
func (g *Gate) release(c Client, work time.Duration, valid bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.running--
	if valid {
		g.clients.succeeded(c, now)
	} else {
		g.failed.charge(now, work, g.totalPrice)
		g.clients.failed(c, now, work, g.clientPrice)
	}
	g.dispatch(now)
}

// mayStart reports whether the waiter may take a slot now.
func (g *Gate) mayStart(w *waiter, now time.Duration) bool {
	return g.running < g.slots && (w.trusted || g.failed.backlog(now) <= totalBurst)
}

// dispatch gives free slots to waiters. While the budget does not allow that, a
// timer calls it again.
func (g *Gate) dispatch(now time.Duration) {
	for len(g.waiting) > 0 && g.mayStart(g.waiting[0], now) {
		w := g.waiting[0]
		g.remove(w)
		g.running++
		w.admitted = true
		close(w.done)
	}
	if len(g.waiting) == 0 || g.running == g.slots {
		return // nothing changes before the next join or release
	}
	wait := g.failed.backlog(now) - totalBurst
	if g.resumeTimer == nil {
		g.resumeTimer = time.AfterFunc(wait, g.resume)
	} else {
		g.resumeTimer.Reset(wait)
	}
}

func (g *Gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dispatch(g.now())
}
