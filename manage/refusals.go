package manage

import (
	"sync"
	"time"
)

// How often the refusals of one actor are recorded, and of how many actors.
const (
	refusalsPerMinute = 10
	refusedActors     = 10_000
)

// refusals bounds the audit entries that an actor causes who is refused, in windows
// of a minute.
type refusals struct {
	now func() time.Time

	mu     sync.Mutex
	window time.Time
	counts map[string]int
}

func newRefusals(now func() time.Time) *refusals {
	return &refusals{now: now, counts: map[string]int{}}
}

// allow reports whether one more refusal of the actor is to be recorded.
func (r *refusals) allow(actor string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if window := r.now().Truncate(time.Minute); !window.Equal(r.window) {
		r.window = window
		clear(r.counts)
	}
	if _, counted := r.counts[actor]; !counted && len(r.counts) == refusedActors {
		return false
	}
	r.counts[actor]++
	return r.counts[actor] <= refusalsPerMinute
}
