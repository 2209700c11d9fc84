package authz

import (
	"sync/atomic"
	"time"
)

// LineLimit bounds the log lines of one kind per second, so that a client
// cannot fill a disk by causing them. It is safe for concurrent use.
type LineLimit struct {
	PerSecond int // 0: no limit

	second, lines atomic.Int64 // second is in seconds since 1970; lines counts those of that second
}

// Allow reports whether another line may be written in the second of now. For
// the first line of a second, suppressed is the number of lines suppressed in
// the last second that had any.
func (l *LineLimit) Allow(now time.Time) (ok bool, suppressed int64) {
	if l.PerSecond == 0 {
		return true, 0
	}
	if now, second := now.Unix(), l.second.Load(); now != second && l.second.CompareAndSwap(second, now) {
		return true, max(0, l.lines.Swap(1)-int64(l.PerSecond))
	}
	return l.lines.Add(1) <= int64(l.PerSecond), 0
}
