package keytable

import (
	"fmt"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/journal"
)

// TestFarTimes: keys are selected by times that a moment cannot have.
func TestFarTimes(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		expires int // year
		filter  store.KeyFilter
		want    bool
	}{
		{2030, store.KeyFilter{Expiring: 260 * 365 * 24 * time.Hour}, true},
		{2030, store.KeyFilter{Expiring: 24 * time.Hour}, false},
		{2030, store.KeyFilter{State: store.KeyExpired}, false},
		{2025, store.KeyFilter{State: store.KeyExpired}, true},
		{2025, store.KeyFilter{State: store.KeyExpired, Expiring: time.Hour}, false},
		{9999, store.KeyFilter{Expiring: 24 * time.Hour}, false},
		{9999, store.KeyFilter{State: store.KeyExpired}, false},
		{9999, store.KeyFilter{State: store.KeyActive}, true},
		{2263, store.KeyFilter{Expiring: 260 * 365 * 24 * time.Hour}, true},
	} {
		made := now.AddDate(-2, 0, 0)
		r := store.KeyRecord{
			ID: "k_000000000001", Created: made, At: made, Format: apikey.FormatKeyward, Hash: apikey.Digest{1}, Hint: "kw_", Name: "far",
			Expires: time.Date(c.expires, 1, 2, 3, 4, 5, 0, time.UTC),
		}
		line, err := r.Line()
		if err != nil {
			t.Fatal(err)
		}
		table := New()
		table.Add(line[:len(line)-1], journal.LineRef{})
		c.filter.Now = now
		got := table.Selector(&c.filter, new(Search)).Selects(0, table.Row(0)) && c.filter.Match(&r)
		if what := fmt.Sprint(c.expires, " ", c.filter.State, " ", c.filter.Expiring); got != c.want || c.filter.Match(&r) != c.want {
			t.Errorf("%s: %t", what, got)
		}
	}
}
