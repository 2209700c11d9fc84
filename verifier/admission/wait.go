package admission

import (
	"context"
	"time"
)

// DefaultMaxWait is how long a caller without a deadline waits if nothing else
// is configured.
const DefaultMaxWait = 200 * time.Millisecond

const (
	// maxQueueTime is that of callers with a long deadline, such as people who log in: an
	// answer, if only that it is too busy, comes within a second.
	maxQueueTime = 900 * time.Millisecond
	// timeToAnswer is what is left of a caller's deadline: Envoy's is 250 ms.
	timeToAnswer = 20 * time.Millisecond
)

// QueueTimeout returns how long a caller may wait in a queue: until shortly
// before its deadline, at most 0.9 s. A caller without a deadline waits for
// maxWait. It is not positive if the deadline is too near.
func QueueTimeout(ctx context.Context, maxWait time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(time.Until(deadline)-timeToAnswer, maxQueueTime)
	}
	return maxWait
}
