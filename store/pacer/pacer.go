// Package pacer keeps long work from delaying the checks.
package pacer

import (
	"io"
	"runtime"
	"time"
)

// Pacer paces work of many short steps, such as the reading of a large file:
// after each slice of work it sleeps for as long as the slice took. If it is woken
// late, the processors are busy, and it sleeps longer: up to eight times as long
// as the slice. Work that is done within one slice is not delayed.
type Pacer struct {
	pace
	now   func() time.Time
	sleep func(time.Duration)
	began time.Time     // of the slice
	late  time.Duration // how much later than excused it was woken last
	steps int
}

// pace is how a Pacer divides its work.
type pace struct {
	slice   time.Duration
	every   int           // steps between two looks at the clock
	excused time.Duration // how late it may be woken where nothing else is to be done
	weight  int           // of a late wake-up in the next sleep
}

// background is the pace of work that no caller waits for, with steps of some
// microseconds.
var background = pace{slice: 500 * time.Microsecond, every: 32, weight: 6}

// request is the pace of work that a caller waits for, with steps of some hundred
// microseconds. It excuses Go's waiting for the network by milliseconds, which would
// make a caller wait several times as long on an idle machine.
var request = pace{slice: time.Millisecond, every: 1, excused: 1200 * time.Microsecond, weight: 2}

// rendering is the pace of a template, which writes a piece every few microseconds.
var rendering = pace{slice: 500 * time.Microsecond, every: 64, excused: request.excused, weight: request.weight}

// New returns a Pacer of work in the background that goes by the system's clock.
func New() Pacer { return Pacer{pace: background, now: time.Now, sleep: time.Sleep} }

// ForRequest returns a Pacer of work that a caller waits for, such as a search through
// all keys.
func ForRequest() Pacer { return Pacer{pace: request, now: time.Now, sleep: giveWay} }

// Writer paces what writes to it in small pieces, such as the template of a page that a caller
// waits for.
type Writer struct {
	out   io.Writer
	pacer Pacer
}

// NewWriter returns a Writer to another writer.
func NewWriter(out io.Writer) *Writer {
	return &Writer{out, Pacer{pace: rendering, now: time.Now, sleep: giveWay}}
}

// Write implements io.Writer.
func (w *Writer) Write(piece []byte) (int, error) {
	w.pacer.Step()
	return w.out.Write(piece)
}

// giveWay sleeps, and continues after what was ready by then: the scheduler continues
// first what a timer wakes. A goroutine that only yields would not do, because the
// scheduler looks for what has arrived from the network when no goroutine is ready.
func giveWay(d time.Duration) {
	time.Sleep(d)
	runtime.Gosched()
}

// Step is called after each step, and sleeps at the end of a slice.
func (p *Pacer) Step() {
	if p.steps++; p.steps%p.every != 0 {
		return
	}
	now := p.now()
	if p.began.IsZero() {
		p.began = now
	}
	worked := now.Sub(p.began)
	if worked < p.slice {
		return
	}
	pause := min(worked+time.Duration(p.weight)*p.late, 8*worked)
	p.sleep(pause)
	p.began = p.now()
	p.late = max(0, p.began.Sub(now)-pause-p.excused)
}
