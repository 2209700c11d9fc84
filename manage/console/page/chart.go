package page

import (
	"fmt"
	"slices"
	"time"

	"keyward/usage"
)

// Chart is a bar for each day, as an SVG of 300 by 100.
type Chart struct {
	Title, Label string
	Low          bool // of denials, on a scale of their own
	Max          uint64
	Bars         []Bar
	Ticks        []string
	Days         []usage.Day // the oldest first
}

// Bar is one of a chart: its place and height are numbers in the units of the SVG.
type Bar struct {
	X         int
	Y, Height float64
	Text      string
}

// Charts are those of requests, and of denials if there were any; none if there were no
// requests.
func Charts(newestFirst []usage.Day) []Chart {
	days := slices.Clone(newestFirst)
	slices.Reverse(days)
	all := chartOf(days, "Requests per day", func(d usage.Day) uint64 { return d.Allowed + d.Denied })
	denied := chartOf(days, "Denied per day", func(d usage.Day) uint64 { return d.Denied })
	denied.Low = true
	switch {
	case all.Max == 0:
		return nil
	case denied.Max == 0:
		return []Chart{all}
	default:
		return []Chart{all, denied}
	}
}

func chartOf(days []usage.Day, title string, of func(usage.Day) uint64) Chart {
	c := Chart{Title: title, Days: days}
	var sum uint64
	for _, d := range days {
		c.Max, sum = max(c.Max, of(d)), sum+of(d)
	}
	for i, d := range days {
		height := 0.0
		if c.Max > 0 {
			height = float64(of(d)*1000/c.Max) / 10
		}
		c.Bars = append(c.Bars, Bar{10*i + 1, 100 - height, height, d.Date + ": " + Count(of(d))})
	}
	for _, i := range []int{0, len(days) / 3, 2 * len(days) / 3, len(days) - 1} {
		if i >= 0 && i < len(days) {
			if at, err := time.Parse(time.DateOnly, days[i].Date); err == nil {
				c.Ticks = append(c.Ticks, at.Format("2 Jan"))
			}
		}
	}
	c.Label = fmt.Sprintf("%s over %d days: %s in all, %s on the highest day", title, len(days), Count(sum), Count(c.Max))
	return c
}
