package pacer

import (
	"testing"
	"time"
)

// TestPacer: a reader rests for as long as it works, in pieces of about half a
// millisecond, and not at all over a short file; longer where it is woken late.
func TestPacer(t *testing.T) {
	const perLine = 2 * time.Microsecond
	for _, c := range []struct {
		lines        int
		late         time.Duration
		least, limit float64 // rest for work
	}{
		{lines: 200},
		{lines: 100_000, least: 0.9, limit: 1},
		{lines: 100_000, late: 100 * time.Microsecond, least: 2, limit: 2.5},
		{lines: 100_000, late: 10 * time.Millisecond, least: 7, limit: 8},
	} {
		clock := time.Unix(1000, 0)
		var worked, rested time.Duration
		s := Pacer{
			now:   func() time.Time { return clock },
			sleep: func(d time.Duration) { rested += d; clock = clock.Add(d + c.late) },
		}
		for range c.lines {
			clock = clock.Add(perLine)
			worked += perLine
			s.Step()
		}
		if share := float64(rested) / float64(worked); share < c.least || share > c.limit {
			t.Errorf("%d lines, woken %s late: rested %s for %s of work", c.lines, c.late, rested, worked)
		}
	}
}

// TestYielder: work sleeps after each slice, and not before.
func TestYielder(t *testing.T) {
	var y Yielder
	rested := 0
	for began := time.Now(); time.Since(began) < 10*yieldSlice; {
		before := time.Now()
		y.Yield()
		if time.Since(before) >= yieldSlice {
			rested++
		}
	}
	if rested < 1 || rested > 10 {
		t.Errorf("it has slept %d times in ten slices", rested)
	}
}
