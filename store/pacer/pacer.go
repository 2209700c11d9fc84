// Package pacer keeps long work in the background from delaying the checks.
package pacer

import "time"

// Pacer paces work of many short steps, such as the reading of a large file:
// after each stretch of work it rests for as long as the work took. If it is woken
// late, others want the processors, and it rests longer, up to eight times as
// long. Work that is done within one stretch is not delayed.
type Pacer struct {
	now   func() time.Time
	sleep func(time.Duration)
	began time.Time
	late  time.Duration // how much longer the last rest was than it was to be
	steps int
}

const (
	stretch    = 500 * time.Microsecond
	clockEvery = 32 // steps; they are some microseconds each
)

// New returns a Pacer that goes by the system's clock.
func New() Pacer { return Pacer{now: time.Now, sleep: time.Sleep} }

// Step is called after each step, and rests if it is time to.
func (p *Pacer) Step() {
	if p.steps++; p.steps%clockEvery != 0 {
		return
	}
	now := p.now()
	if p.began.IsZero() {
		p.began = now
	}
	worked := now.Sub(p.began)
	if worked < stretch {
		return
	}
	rest := min(worked+6*p.late, 8*worked)
	p.sleep(rest)
	p.began = p.now()
	p.late = p.began.Sub(now) - rest
}
