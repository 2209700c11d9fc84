package input

import (
	"testing"
	"time"
)

// TestExpiry: what a caller may write of the end of a key.
func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "90d": now.AddDate(0, 0, 90), "1h": now.Add(time.Hour), "2027-01-01T00:00:00+01:00": time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC),
	} {
		if got, err := Expiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-1d", "tomorrow", "2027-01-01"} {
		if got, err := Expiry(text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestGrace: what a caller may write of the grace of a rotation.
func TestGrace(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "0": 0, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour} {
		if got, err := Grace(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"-1h", "soon"} {
		if got, err := Grace(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
