package admission

import (
	"slices"
	"time"
)

// waiter is a caller that waits for a slot. The gate's lock guards all fields
// but done.
type waiter struct {
	trusted  bool
	rank     time.Duration // the lowest goes first
	done     chan struct{} // closed when it is admitted or dropped
	admitted bool
}

// rankStep is the difference below which clients have the same rank.
const rankStep = time.Second

// rank grows with the client's penalty, which earlier waits add to, so that a
// burst of one client stands behind single requests of others. Trusted clients
// go before all others.
func (s standing) rank() time.Duration {
	rank := s.penalty.Truncate(rankStep)
	if s.trusted {
		rank -= maxBacklog
	}
	return rank
}

func (w *waiter) before(other *waiter) bool { return w.rank < other.rank }

// push inserts the waiter by its rank, after those of the same rank. If the
// queue is full, it drops the last waiter, which may be the new one.
func (g *Gate) push(w *waiter) {
	at, _ := slices.BinarySearchFunc(g.waiting, w, func(waiting, w *waiter) int {
		if w.before(waiting) {
			return 1
		}
		return -1
	})
	g.waiting = slices.Insert(g.waiting, at, w)
	if len(g.waiting) > g.queueSize {
		last := g.waiting[g.queueSize]
		g.remove(last)
		close(last.done)
	}
}

// remove takes the waiter out of the queue, if it is still there.
func (g *Gate) remove(w *waiter) {
	if at := slices.Index(g.waiting, w); at >= 0 {
		g.waiting = slices.Delete(g.waiting, at, at+1)
	}
}
