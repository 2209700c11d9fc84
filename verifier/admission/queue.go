package admission

import (
	"slices"
	"time"
)

// waiter is one caller that waits for a slot. All but done is under the gate's lock.
type waiter struct {
	familiar bool
	rank     time.Duration // less goes first
	done     chan struct{} // closed when it was admitted, or pushed out
	admitted bool
}

// rankStep is the difference below which two clients have the same rank.
const rankStep = time.Second

// rank grows with the client's suspicion, to which earlier waits add: so the
// burst of one client stands behind single requests of others. A familiar client
// goes before all that are not.
func (s standing) rank() time.Duration {
	rank := s.suspicion.Truncate(rankStep)
	if s.familiar {
		rank -= longestMemory
	}
	return rank
}

func (w *waiter) before(other *waiter) bool { return w.rank < other.rank }

// push inserts the waiter by its rank; equals keep the order in which they came.
// If the queue is full, the last waiter is pushed out, which may be the new one.
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

// remove takes the waiter out of the queue, if it still waits.
func (g *Gate) remove(w *waiter) {
	if at := slices.Index(g.waiting, w); at >= 0 {
		g.waiting = slices.Delete(g.waiting, at, at+1)
	}
}
