package usage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Row is a name and a text for people. A row without a name goes on with the one
// before.
type Row struct{ Name, Text string }

// Rows returns the usage for people. quote makes a client's text safe to print.
// inGrace means that the key has a previous secret that is still valid: that it
// was never used then matters.
func (u *Usage) Rows(inGrace bool, quote func(string) string) []Row {
	rows := []Row{
		{"used", fmt.Sprint(u.Total, " times")},
		{"results", u.resultsText(quote)},
		{"first use", instant(u.First)},
		{"last use", instant(u.Last)},
		{"last address", cmp.Or(quote(u.Address), "-")},
	}
	if !u.Previous.Last.IsZero() {
		rows = append(rows, Row{"old secret used", fmt.Sprintf("%d times in 30 days, last %s", u.Previous.Uses, instant(u.Previous.Last))})
	} else if inGrace {
		rows = append(rows, Row{"old secret used", "never"})
	}
	name := "last 30 days"
	for i := range u.Days {
		if d := &u.Days[i]; d.Allowed+d.Denied > 0 {
			rows = append(rows, Row{name, d.text(quote)})
			name = ""
		}
	}
	name = "last outcomes"
	for _, o := range u.Outcomes {
		rows = append(rows, Row{name, fmt.Sprint(instant(o.At), " ", o.Status, " ", strings.Join([]string{quote(o.Result), quote(o.Method), quote(o.Path)}, " "))})
		name = ""
	}
	return rows
}

// resultsText returns the results with their counts, the most frequent first.
func (u *Usage) resultsText(quote func(string) string) string {
	byFrequency := slices.SortedFunc(maps.Keys(u.Results), func(a, b string) int {
		return cmp.Or(cmp.Compare(u.Results[b], u.Results[a]), cmp.Compare(a, b))
	})
	for i, result := range byFrequency {
		byFrequency[i] = fmt.Sprint(quote(result), " ", u.Results[result])
	}
	return cmp.Or(strings.Join(byFrequency, ", "), "-")
}

func (d *Day) text(quote func(string) string) string {
	text := fmt.Sprintf("%s %d allowed, %d denied", quote(d.Date), d.Allowed, d.Denied)
	if d.PreviousSecret > 0 {
		text += fmt.Sprintf(", %d by an old secret", d.PreviousSecret)
	}
	return text
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
