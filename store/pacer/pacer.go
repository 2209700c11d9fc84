// Package pacer keeps long work in the background from delaying the checks.
package pacer

import "time"

// Pacer paces work of many short steps, such as the reading of a large file:
// after each slice of work it sleeps for as long as the slice took. If it is woken
// late, the processors are busy, and it sleeps longer: up to eight times as long
// as the slice. Work that is done within one slice is not delayed.
type Pacer struct {
	now   func() time.Time
	sleep func(time.Duration)
	began time.Time     // of the slice
	late  time.Duration // how much longer than intended it slept last
	steps int
}

const (
	slice      = 500 * time.Microsecond
	clockEvery = 32 // steps; they are some microseconds each
)

// New returns a Pacer that goes by the system's clock.
func New() Pacer { return Pacer{now: time.Now, sleep: time.Sleep} }

// Step is called after each step, and sleeps at the end of a slice.
func (p *Pacer) Step() {
	if p.steps++; p.steps%clockEvery != 0 {
		return
	}
	now := p.now()
	if p.began.IsZero() {
		p.began = now
	}
	worked := now.Sub(p.began)
	if worked < slice {
		return
	}
	pause := min(worked+6*p.late, 8*worked)
	p.sleep(pause)
	p.began = p.now()
	p.late = p.began.Sub(now) - pause
}
