package page

import (
	"fmt"
	"testing"

	"keyward/usage"
)

// TestCharts: a bar for each day, the oldest first, scaled by the highest; denials have a
// scale of their own, and without requests there is no chart.
func TestCharts(t *testing.T) {
	if got := Charts(make([]usage.Day, 30)); got != nil {
		t.Errorf("without requests: %v", got)
	}
	days := make([]usage.Day, 30) // today first
	for i := range days {
		days[i].Date = fmt.Sprintf("2026-11-%02d", 30-i)
	}
	days[0].Allowed, days[0].Denied, days[1].Allowed, days[29].Allowed = 30, 10, 10, 20
	got := Charts(days)
	if len(got) != 2 || got[0].Max != 40 || got[1].Max != 10 || got[0].Low || !got[1].Low {
		t.Fatalf("%+v", got)
	}
	for i, want := range map[int]Bar{0: {1, 50, 50, "2026-11-01: 20"}, 28: {281, 75, 25, "2026-11-29: 10"}, 29: {291, 0, 100, "2026-11-30: 40"}, 5: {51, 100, 0, "2026-11-06: 0"}} {
		if bar := got[0].Bars[i]; bar != want {
			t.Errorf("bar %d: %+v, want %+v", i, bar, want)
		}
	}
	if len(got[0].Ticks) != 4 || got[0].Ticks[0] != "1 Nov" || got[0].Ticks[3] != "30 Nov" || days[0].Date != "2026-11-30" {
		t.Errorf("ticks %v", got[0].Ticks)
	}
}
