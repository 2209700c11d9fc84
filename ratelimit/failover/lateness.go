package failover

import (
	"runtime"
	"sync/atomic"
	"time"
)

// lateness distinguishes timeouts that the store causes from those that this
// process causes. While goroutines wait for a processor, so does the one that
// reads the store's reply, and a timeout says nothing about the store. lateness
// records when a goroutine last ran much later than it could have.
type lateness struct {
	clock     func() time.Time
	createdAt time.Time
	slack     time.Duration // longest normal delay
	latest    atomic.Int64  // in nanoseconds since createdAt; 0: never
}

// slackPart sets the longest normal delay of a goroutine: this fraction of the
// time that a request waits for the store.
const slackPart = 4

func newLateness(clock func() time.Time, timeout time.Duration) lateness {
	return lateness{clock: clock, createdAt: clock(), slack: timeout / slackPart}
}

// note records how late the caller is, which could have run at due, and yields
// to all goroutines that wait for a processor. One with a reply to read is
// among them, because the scheduler keeps it in the same queue. That wait is
// much longer than the wait for a timer, whose goroutine runs before others.
func (l *lateness) note(due time.Time) {
	now := l.clock()
	runtime.Gosched()
	if then := l.clock(); now.Sub(due) > l.slack || then.Sub(now) > l.slack {
		l.latest.Store(int64(max(then.Sub(l.createdAt), 1)))
	}
}

// since reports whether a goroutine was late after t.
func (l *lateness) since(t time.Time) bool {
	latest := l.latest.Load()
	return latest != 0 && latest >= int64(t.Sub(l.createdAt))
}
