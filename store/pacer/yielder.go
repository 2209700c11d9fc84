package pacer

import (
	"runtime"
	"time"
)

// Yielder gives way to checks in work that a caller waits for, such as a search through all
// keys: after each slice of work it sleeps for as long, and checks that wait are decided
// meanwhile. If it is woken late, the processors are busy, and it sleeps longer: up to eight
// times as long as the slice. The zero Yielder is ready.
//
// A goroutine that only yields would not do: the scheduler looks for what has arrived from the
// network when no goroutine is ready.
type Yielder struct {
	began time.Time     // of the slice
	late  time.Duration // how much longer than the clock explains it slept last
}

const (
	// yieldSlice is as short as Go sleeps, which waits for the network by milliseconds.
	yieldSlice = time.Millisecond
	// clockStep is how late a sleep may end where nothing else is to be done.
	clockStep = 1200 * time.Microsecond
)

// Yield is called after some hundred microseconds of work, and sleeps at the end of a slice.
func (y *Yielder) Yield() {
	now := time.Now()
	if y.began.IsZero() {
		y.began = now
	}
	if now.Sub(y.began) < yieldSlice {
		return
	}
	pause := min(yieldSlice+2*y.late, 8*yieldSlice)
	time.Sleep(pause)
	runtime.Gosched() // what a timer wakes is continued before what was ready already
	y.began = time.Now()
	y.late = max(0, y.began.Sub(now)-pause-clockStep)
}
