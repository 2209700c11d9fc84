package jsonline

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for day := time.Date(1971, 1, 1, 3, 4, 5, 0, time.UTC); day.Year() < 2410; day = day.AddDate(0, 0, 1) {
		if got, ok := ParseTime([]byte(day.Format(time.RFC3339))); !ok || !got.Equal(day) {
			t.Fatalf("%v is read as %v", day, got)
		}
	}
	for text, nano := range map[string]int{"": 0, ".1": 100_000_000, ".000000001": 1, ".123456789": 123456789} {
		got, ok := ParseTime([]byte("2026-01-02T03:04:05" + text + "Z"))
		if !ok || got.Nanosecond() != nano {
			t.Errorf("%q: %v %v", text, got, ok)
		}
	}
	for _, text := range []string{".", ".1234567890", ".1x", "x"} {
		if _, ok := ParseTime([]byte("2026-01-02T03:04:05" + text + "Z")); ok {
			t.Errorf("%q accepted", text)
		}
	}
}
