package usage

import (
	"strings"
	"testing"
	"time"
)

// TestRowsAreQuoted: what a server says of a use is not printed as it is.
func TestRowsAreQuoted(t *testing.T) {
	const raw = "\x1b[2J"
	u := Usage{
		Results: map[string]uint64{raw: 1}, Address: raw,
		Days:     []Day{{Date: raw, Allowed: 1}},
		Outcomes: []Outcome{{At: time.Unix(0, 0), Result: raw, Method: raw, Path: raw}},
	}
	for _, row := range u.Rows(true, func(text string) string { return strings.ReplaceAll(text, raw, "quoted") }) {
		if strings.Contains(row.Text, raw) {
			t.Errorf("%s: %q", row.Name, row.Text)
		}
	}
}
