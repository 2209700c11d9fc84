package keystore

import "time"

// stints keeps the reading of a large file from holding up the checks: after each
// stint it rests for as long as the stint took. Where it is woken late somebody else
// wants the processors, and it rests for longer, up to eight times as long. A file
// that is read within one stint is not held up.
type stints struct {
	now   func() time.Time
	sleep func(time.Duration)
	began time.Time
	late  time.Duration // how much longer the last rest was than it was to be
	lines int
}

const (
	stint     = 500 * time.Microsecond
	lookEvery = 32 // lines; they are some microseconds each
)

// line is called after each line.
func (s *stints) line() {
	if s.lines++; s.lines%lookEvery != 0 {
		return
	}
	now := s.now()
	if s.began.IsZero() {
		s.began = now
	}
	worked := now.Sub(s.began)
	if worked < stint {
		return
	}
	rest := min(worked+6*s.late, 8*worked)
	s.sleep(rest)
	s.began = s.now()
	s.late = s.began.Sub(now) - rest
}
