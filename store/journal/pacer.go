package journal

import "time"

// Pacer keeps the reading of a large file from delaying the checks: after each
// stretch of work it rests for as long as the work took. If it is woken late,
// others want the processors, and it rests longer, up to eight times as long. A
// file that is read within one stretch is not delayed.
type Pacer struct {
	now   func() time.Time
	sleep func(time.Duration)
	began time.Time
	late  time.Duration // how much longer the last rest was than it was to be
	lines int
}

const (
	stretch    = 500 * time.Microsecond
	clockEvery = 32 // lines; they are some microseconds each
)

// NewPacer returns a Pacer that goes by the system's clock.
func NewPacer() Pacer { return Pacer{now: time.Now, sleep: time.Sleep} }

// Line is called after each line.
func (s *Pacer) Line() {
	if s.lines++; s.lines%clockEvery != 0 {
		return
	}
	now := s.now()
	if s.began.IsZero() {
		s.began = now
	}
	worked := now.Sub(s.began)
	if worked < stretch {
		return
	}
	rest := min(worked+6*s.late, 8*worked)
	s.sleep(rest)
	s.began = s.now()
	s.late = s.began.Sub(now) - rest
}
