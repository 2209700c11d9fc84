package pacer

import (
	"strings"
	"testing"
	"time"
)

// rest is how long a Pacer rests, relative to its work, which takes that long per step, if it is
// always woken late.
func rest(p Pacer, late time.Duration, steps int, perStep time.Duration) float64 {
	clock := time.Unix(1000, 0)
	var worked, rested time.Duration
	p.now = func() time.Time { return clock }
	p.sleep = func(d time.Duration) { rested += d; clock = clock.Add(d + late) }
	for range steps {
		clock = clock.Add(perStep)
		worked += perStep
		p.Step()
	}
	return float64(rested) / float64(worked)
}

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
		if share := rest(New(), c.late, c.lines, perLine); share < c.least || share > c.limit {
			t.Errorf("%d lines, woken %s late: rested %.2f of the work", c.lines, c.late, share)
		}
	}
}

// TestPacerOfRequest: work that a caller waits for rests for as long as it works, also where
// the clock wakes it a millisecond late, and longer where the processors are busy.
func TestPacerOfRequest(t *testing.T) {
	const perStep = 300 * time.Microsecond
	for _, c := range []struct {
		steps        int
		late         time.Duration
		least, limit float64
	}{
		{steps: 3},
		{steps: 1000, least: 0.9, limit: 1},
		{steps: 1000, late: time.Millisecond, least: 0.9, limit: 1},
		{steps: 1000, late: 2 * time.Millisecond, least: 2, limit: 3},
		{steps: 1000, late: 20 * time.Millisecond, least: 7, limit: 8},
	} {
		if share := rest(ForRequest(), c.late, c.steps, perStep); share < c.least || share > c.limit {
			t.Errorf("%d steps, woken %s late: rested %.2f of the work", c.steps, c.late, share)
		}
	}
}

// TestWriter: a page that is written in small pieces arrives whole, and its making rests for as
// long as it works.
func TestWriter(t *testing.T) {
	var page strings.Builder
	w := NewWriter(&page)
	clock := time.Unix(1000, 0)
	var worked, rested time.Duration
	w.pacer.now = func() time.Time { return clock }
	w.pacer.sleep = func(d time.Duration) { rested += d; clock = clock.Add(d) }
	for range 1000 {
		const perPiece = 3 * time.Microsecond
		clock, worked = clock.Add(perPiece), worked+perPiece
		if n, err := w.Write([]byte("row")); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if page.String() != strings.Repeat("row", 1000) {
		t.Errorf("%d bytes arrived", page.Len())
	}
	if share := float64(rested) / float64(worked); share < 0.7 || share > 1 {
		t.Errorf("rested %.2f of the work", share)
	}
}
