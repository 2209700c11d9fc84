package ratelimit

import (
	"runtime"
	"sync/atomic"
	"time"
)

// lateness distinguishes time-outs of the store from those of this process. While
// goroutines wait for a processor, so does the one that reads the store's answer,
// and a time-out says nothing about the store. It records when a goroutine last
// ran much later than it could have.
type lateness struct {
	clock     func() time.Time
	createdAt time.Time
	slack     time.Duration // delays up to this are usual
	latest    atomic.Int64  // in nanoseconds since born; 0: never
}

// slackPart is the part of the time that a request waits for the store by which a goroutine may be late.
const slackPart = 4

func newLateness(clock func() time.Time, timeout time.Duration) lateness {
	return lateness{clock: clock, createdAt: clock(), slack: timeout / slackPart}
}

// note records how late the caller is, which could have run at due, and yields to
// all goroutines that wait for a processor. The one with an answer to read is
// among them: the scheduler has it in the same queue. That wait is much longer
// than the one for a timer, whose goroutine goes before others.
func (l *lateness) note(due time.Time) {
	now := l.clock()
	runtime.Gosched()
	if then := l.clock(); now.Sub(due) > l.slack || then.Sub(now) > l.slack {
		l.latest.Store(int64(max(then.Sub(l.createdAt), 1)))
	}
}

// since reports whether a goroutine was late after that time.
func (l *lateness) since(t time.Time) bool {
	latest := l.latest.Load()
	return latest != 0 && latest >= int64(t.Sub(l.createdAt))
}
