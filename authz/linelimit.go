package authz

import (
	"sync/atomic"
	"time"
)

// LineLimit bounds the log lines of one kind per second, so that a client that
// can cause them cannot fill a disk. Safe for concurrent use.
type LineLimit struct {
	PerSecond int // 0: no limit

	second, lines atomic.Int64 // lines in that second, in seconds since 1970
}

// Allow reports whether the second of now has room for another line, and with
// its first line how many lines were suppressed in the last second that had any.
func (l *LineLimit) Allow(now time.Time) (ok bool, suppressed int64) {
	if l.PerSecond == 0 {
		return true, 0
	}
	if now, second := now.Unix(), l.second.Load(); now != second && l.second.CompareAndSwap(second, now) {
		return true, max(0, l.lines.Swap(1)-int64(l.PerSecond))
	}
	return l.lines.Add(1) <= int64(l.PerSecond), 0
}
