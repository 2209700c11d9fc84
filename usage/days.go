package usage

import (
	"cmp"
	"slices"
	"time"
)

// maxDays is the number of days kept per key.
const maxDays = 30

// dayMicros is the length of a day in UTC, in microseconds.
const dayMicros = 24 * 60 * 60 * 1_000_000

// Day has the decisions about a key on one day.
type Day struct {
	Date    string `json:"date"` // in UTC, as 2026-11-28
	Allowed uint64 `json:"allowed"`
	Denied  uint64 `json:"denied"`
	// PreviousSecret is how many of both were about a previous secret.
	PreviousSecret uint64 `json:"previous_secret"`
}

// PreviousSecret is the use of secrets that a rotation has replaced, attempts
// after the end of their grace included.
type PreviousSecret struct {
	Uses uint64    `json:"uses"` // in the last 30 days
	Last time.Time `json:"last_use,omitzero"`
}

// day is a Day with the number of days since 1970.
type day struct {
	number            int64
	allowed, denied   uint64
	byPreviousSecrets uint64
}

// add adds the counts of another day.
func (d *day) add(other day) {
	d.allowed += other.allowed
	d.denied += other.denied
	d.byPreviousSecrets += other.byPreviousSecrets
}

func (d *day) count(seen *event) {
	if seen.reason.Allows() {
		d.allowed++
	} else {
		d.denied++
	}
	if seen.previousSecret {
		d.byPreviousSecrets++
	}
}

// addDay adds a day to the days, which are in order. It keeps the last limit of
// them. These need not follow each other: a clock that was wrong once costs one
// day, and not all others.
func addDay(days []day, one day, limit int) []day {
	i, found := slices.BinarySearchFunc(days, one.number, func(d day, number int64) int { return cmp.Compare(d.number, number) })
	if found {
		days[i].add(one)
		return days
	}
	days = slices.Insert(days, i, one)
	return slices.Delete(days, 0, max(0, len(days)-limit))
}

// daily is what is recorded of a key per day.
type daily struct {
	days         []day // in order
	previousLast int64 // when a previous secret was last used, in microseconds since 1970; 0: never
}

func (t *daily) add(other *daily) {
	for _, d := range other.days {
		t.days = addDay(t.days, d, maxDays)
	}
	t.previousLast = max(t.previousLast, other.previousLast)
}

// until returns the 30 days up to now, the last one first, days without a use
// included.
func (t *daily) until(now time.Time) ([]Day, PreviousSecret) {
	var previous PreviousSecret
	if t.previousLast != 0 {
		previous.Last = time.UnixMicro(t.previousLast).UTC()
	}
	shown := make([]Day, maxDays)
	today := now.UnixMicro() / dayMicros
	for i := range shown {
		shown[i].Date = time.UnixMicro((today - int64(i)) * dayMicros).UTC().Format(time.DateOnly)
	}
	for _, d := range t.days {
		if ago := today - d.number; ago >= 0 && ago < maxDays {
			shown[ago].Allowed, shown[ago].Denied, shown[ago].PreviousSecret = d.allowed, d.denied, d.byPreviousSecrets
			previous.Uses += d.byPreviousSecrets
		}
	}
	return shown, previous
}

// calendar counts the decisions of an entry per day. The last day is part of the
// entry: almost every decision counts there.
type calendar struct {
	last         day
	earlier      []day
	previousLast int64
}

func (c *calendar) count(seen *event) {
	if seen.previousSecret {
		c.previousLast = max(c.previousLast, seen.at)
	}
	number := max(seen.at, 0) / dayMicros
	if number < c.last.number { // a check that began before midnight, or the clock went back
		one := day{number: number}
		one.count(seen)
		c.earlier = addDay(c.earlier, one, maxDays-1)
		return
	}
	if number > c.last.number {
		if c.last.allowed+c.last.denied > 0 {
			c.earlier = addDay(c.earlier, c.last, maxDays-1)
		}
		c.last = day{number: number}
	}
	c.last.count(seen)
}

// reset empties the calendar and keeps its buffer.
func (c *calendar) reset() { *c = calendar{earlier: c.earlier[:0]} }

func (c *calendar) daily() daily {
	return daily{append(slices.Clip(c.earlier), c.last), c.previousLast}
}
