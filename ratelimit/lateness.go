package ratelimit

import (
	"runtime"
	"sync/atomic"
	"time"
)

// lateness tells time-outs of the store's from those of our own making. Where
// goroutines wait for a processor, so does the one that reads the store's
// answer, and the time in which no answer came says nothing about the store.
// What is noted is when a goroutine ran much later than it could have.
type lateness struct {
	clock  func() time.Time
	born   time.Time
	slack  time.Duration // that much is usual
	latest atomic.Int64  // in nanoseconds since born; 0: never
}

// slackPart is the part of the time that a request waits for the store by which a goroutine may be late.
const slackPart = 4

func newLateness(clock func() time.Time, timeout time.Duration) lateness {
	return lateness{clock: clock, born: clock(), slack: timeout / slackPart}
}

// note notes how late the caller is, which could have run at due, and lets all
// run that wait for a processor. Among them is what has an answer to read: the
// scheduler puts it into the same queue. It is much longer than the wait for a
// timer, whose goroutine goes before others.
func (l *lateness) note(due time.Time) {
	now := l.clock()
	runtime.Gosched()
	if then := l.clock(); now.Sub(due) > l.slack || then.Sub(now) > l.slack {
		l.latest.Store(int64(max(then.Sub(l.born), 1)))
	}
}

// since reports whether a goroutine was late after that time.
func (l *lateness) since(t time.Time) bool {
	latest := l.latest.Load()
	return latest != 0 && latest >= int64(t.Sub(l.born))
}
