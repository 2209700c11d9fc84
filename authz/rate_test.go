package authz

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"10/s":        {Count: 10, Period: time.Second},
		"6000/m":      {Count: 6000, Period: time.Minute},
		"1000/h":      {Count: 1000, Period: time.Hour},
		"5000/d":      {Count: 5000, Period: 24 * time.Hour},
		"1/s":         {Count: 1, Period: time.Second},
		"999999999/s": {Count: MaxRateCount, Period: time.Second},
	} {
		got, err := ParseRate(text)
		if err != nil || got != want || got.String() != text || got.Validate() != nil {
			t.Errorf("%s: %+v %v, written %s", text, got, err, got)
		}
	}
	for _, text := range []string{
		"", "/", "10", "10/", "/s", "0/s", "00/s", "010/s", "-1/s", "+1/s", " 1/s", "1 /s", "1/ s", "1/s ", "1.5/s", "1e3/s",
		"1000000000/s", "99999999999999999999/s", "1/w", "1/S", "1/min", "1/sec", "1/ms", "1/s/s", "١/s", "1_0/s", "1/s\x00",
	} {
		if got, err := ParseRate(text); !errors.Is(err, ErrRateText) || got != (Rate{}) {
			t.Errorf("%q: %+v %v", text, got, err)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, seed := range []string{"10/s", "1000/h", "0/s", "1/min", "999999999/d", "-1/s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRate(text)
		if err != nil {
			if r != (Rate{}) {
				t.Fatalf("%q: an error was returned with %+v", text, r)
			}
			return
		}
		if r.String() != text || r.Validate() != nil {
			t.Fatalf("%q: written %q, %v", text, r, r.Validate())
		}
	})
}

func TestRateBounds(t *testing.T) {
	day := 24 * time.Hour
	for _, good := range []Rate{
		{1, time.Millisecond, 0}, {MaxRateCount, time.Millisecond, MaxRateCount}, {1, 366 * day, 0}, {MaxRateCount, maxPeriod, 1},
		{1, day, 366}, {1, time.Second, 366 * 86400}, {10, 15 * time.Minute, 1},
	} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []Rate{
		{}, {0, time.Second, 0}, {-1, time.Second, 0}, {MaxRateCount + 1, time.Second, 0}, {1, 0, 0}, {1, -time.Second, 0},
		{1, time.Microsecond, 0}, {1, time.Second + 1, 0}, {1, time.Second, -1}, {1, time.Second, MaxRateCount + 1},
		{1, day, 367}, {1, 367 * day, 0}, {1, time.Second, 366*86400 + 1}, {1, math.MaxInt64, 0}, {math.MaxInt, time.Hour, 0}, {math.MinInt, time.Hour, 0},
	} {
		if err := bad.Validate(); !errors.Is(err, ErrRate) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestShare(t *testing.T) {
	for _, line := range []struct {
		rate Rate
		n    int
		want Rate
	}{
		{Rate{1000, time.Hour, 0}, 1, Rate{1000, time.Hour, 0}},
		{Rate{1000, time.Hour, 0}, 4, Rate{1000, 4 * time.Hour, 250}},
		{Rate{1000, time.Hour, 50}, 4, Rate{1000, 4 * time.Hour, 12}},
		{Rate{10, time.Second, 0}, 3, Rate{10, 3 * time.Second, 3}},
		{Rate{10, time.Hour, 0}, 10, Rate{1, time.Hour, 1}},
		{Rate{10, time.Hour, 0}, 50, Rate{1, time.Hour, 1}},
		{Rate{1, time.Hour, 100}, 50, Rate{1, time.Hour, 2}},
		{Rate{MaxRateCount, 24 * time.Hour, 0}, 10_000, Rate{MaxRateCount, 10_000 * 24 * time.Hour, 99_999}},
	} {
		if got := line.rate.Share(line.n); got != line.want || got.Validate() != nil {
			t.Errorf("%+v over %d: %+v %v, want %+v", line.rate, line.n, got, got.Validate(), line.want)
		}
	}
}

func TestAtMost(t *testing.T) {
	for _, c := range []struct {
		rate, limit Rate
		want        bool
	}{
		{Rate{Count: 10, Period: time.Second}, Rate{Count: 10, Period: time.Second}, true},
		{Rate{Count: 10, Period: time.Second}, Rate{Count: 600, Period: time.Minute}, true},
		{Rate{Count: 600, Period: time.Minute}, Rate{Count: 10, Period: time.Second}, false}, // more at once
		{Rate{Count: 11, Period: time.Second}, Rate{Count: 600, Period: time.Minute}, false},
		{Rate{Count: 5, Period: time.Second, Burst: 20}, Rate{Count: 10, Period: time.Second}, false},
		{Rate{Count: MaxRateCount, Period: minPeriod}, Rate{Count: MaxRateCount, Period: maxPeriod}, false},
		{Rate{Count: 1, Period: time.Second}, Rate{}, false},
	} {
		if got := c.rate.AtMost(c.limit); got != c.want {
			t.Errorf("%+v at most %+v: %v", c.rate, c.limit, got)
		}
	}
}
