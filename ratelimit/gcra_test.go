package ratelimit

import (
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"keyward/authz"
)

// oracle is GCRA in fractions, without rounding.
type oracle struct{ empty *big.Rat } // nanoseconds

func (o *oracle) take(rate Rate, now int64) bool {
	step := big.NewRat(int64(rate.Period), int64(rate.Count))
	if o.empty == nil || o.empty.Cmp(big.NewRat(now, 1)) < 0 {
		o.empty = big.NewRat(now, 1)
	}
	next := new(big.Rat).Add(o.empty, step)
	full := new(big.Rat).Mul(step, big.NewRat(int64(rate.EffectiveBurst()), 1))
	if new(big.Rat).Sub(next, big.NewRat(now, 1)).Cmp(full) > 0 {
		return false
	}
	o.empty = next
	return true
}

// someRates are rates whose emission interval is not an integer of
// microseconds, and simple ones.
var someRates = []Rate{
	{Count: 7, Period: time.Second}, {Count: 1000, Period: time.Hour}, {Count: 3, Period: 10 * time.Millisecond}, {Count: 6000, Period: time.Minute}, {Count: 1, Period: time.Second}, {Count: 11, Period: time.Minute, Burst: 3},
	{Count: 13, Period: time.Second, Burst: 40}, {Count: 999_983, Period: time.Second, Burst: 17}, {Count: authz.MaxRateCount, Period: time.Second, Burst: 5}, {Count: 1, Period: 24 * time.Hour, Burst: 1}, {Count: authz.MaxRateCount, Period: time.Hour},
}

// TestExactly: over any sequence of times the store admits exactly what GCRA
// does, and in no window more than burst + rate × time.
func TestExactly(t *testing.T) {
	for _, rate := range someRates {
		r := rand.New(rand.NewPCG(uint64(rate.Count), uint64(rate.Period)))
		for round := range 4 {
			m := newTestMemory(t, 100, time.Time{})
			var want oracle
			var admitted []int64
			now := int64(1_700_000_000_000_000_000)
			pause := int64(rate.Period) / int64(rate.Count) * 2 * int64(rate.EffectiveBurst()) / 100
			for i := range 800 {
				switch { // a burst, about the rate, or a pause
				case i%200 < 60:
				case round%2 == 0:
					now += r.Int64N(2*int64(rate.Period)/int64(rate.Count)/1000+2) * 1000
				default:
					now += r.Int64N(pause/1000+2) * 1000
				}
				got := takes(t, m, rate, now)
				if wanted := want.take(rate, now); got != wanted {
					t.Fatalf("%s burst %d, request %d: admitted %v, GCRA says %v", rate, rate.Burst, i, got, wanted)
				}
				if got {
					admitted = append(admitted, now)
				}
			}
			checkWindows(t, rate, admitted)
		}
	}
}

func takes(t *testing.T, m *Memory, rate Rate, now int64) bool {
	t.Helper()
	limits, results := []Limit{{Name: "key", Rate: rate}}, make([]Result, 1)
	refused, err := m.Take(t.Context(), time.Unix(0, now), limits, results)
	if err != nil || results[0].Allowed != (refused == NotRefused) {
		t.Fatal(refused, err, results)
	}
	return results[0].Allowed
}

// checkWindows checks the windows that begin and end with a request. No other
// window contains more requests.
func checkWindows(t *testing.T, rate Rate, admitted []int64) {
	t.Helper()
	for i := range admitted {
		for j := i; j < len(admitted); j += 1 + (j-i)/20 {
			limit := big.NewInt(admitted[j] - admitted[i])
			limit.Mul(limit, big.NewInt(int64(rate.Count))).Div(limit, big.NewInt(int64(rate.Period)))
			if n := int64(j - i + 1); n > limit.Int64()+int64(rate.EffectiveBurst()) {
				t.Fatalf("%s: %d admitted within %s", rate, n, time.Duration(admitted[j]-admitted[i]))
			}
		}
	}
}

// TestReport: Remaining, RetryAfter and ResetAfter are correct.
func TestReport(t *testing.T) {
	for _, rate := range someRates {
		if rate.EffectiveBurst() > 5000 {
			continue
		}
		m := newTestMemory(t, 100, time.Time{})
		limits, results := []Limit{{Name: "key", Rate: rate}}, make([]Result, 1)
		now := time.Unix(1_700_000_000, 0)
		for i := rate.EffectiveBurst() - 1; i >= 0; i-- {
			if _, _ = m.Take(t.Context(), now, limits, results); !results[0].Allowed || results[0].Remaining != i || results[0].Limit != rate.EffectiveBurst() {
				t.Fatalf("%s: %+v, want %d remaining", rate, results[0], i)
			}
		}
		reset := results[0].ResetAfter
		if refused, _ := m.Take(t.Context(), now, limits, results); refused != 0 || results[0].RetryAfter <= 0 || results[0].ResetAfter != reset {
			t.Fatalf("%s: %d %+v", rate, refused, results[0])
		}
		retry := now.Add(results[0].RetryAfter)
		if refused, _ := m.Peek(t.Context(), retry.Add(-time.Microsecond), limits, results); refused != 0 {
			t.Errorf("%s: admits before RetryAfter", rate)
		}
		if refused, _ := m.Peek(t.Context(), retry, limits, results); refused != NotRefused || results[0].Remaining < 1 {
			t.Errorf("%s: does not admit at RetryAfter: %+v", rate, results[0])
		}
		if _, _ = m.Peek(t.Context(), now.Add(reset-time.Microsecond), limits, results); results[0].ResetAfter <= 0 {
			t.Errorf("%s: full before ResetAfter", rate)
		}
		if _, _ = m.Peek(t.Context(), now.Add(reset), limits, results); results[0].ResetAfter != 0 || results[0].Remaining != rate.EffectiveBurst() {
			t.Errorf("%s: not full at ResetAfter: %+v", rate, results[0])
		}
	}
}

// TestRateChanges: requests stay charged under a new rate, up to an exhausted
// bucket of that rate.
func TestRateChanges(t *testing.T) {
	hour, second := time.Hour, time.Second
	for _, line := range []struct {
		name      string
		old       Rate
		used      int
		new       Rate
		remaining int
		reset     time.Duration
	}{
		{"higher: no new burst", Rate{Count: 10, Period: second}, 10, Rate{Count: 1000, Period: hour}, 990, 36 * second},
		{"lower: exhausted, not more", Rate{Count: 1000, Period: hour}, 600, Rate{Count: 100, Period: hour}, 0, hour},
		{"faster: not blocked for the old hour", Rate{Count: 1000, Period: hour}, 1000, Rate{Count: 10, Period: second}, 0, second},
		{"smaller burst", Rate{Count: 1000, Period: hour}, 40, Rate{Count: 1000, Period: hour, Burst: 50}, 10, 144 * second},
		{"larger burst", Rate{Count: 1000, Period: hour, Burst: 50}, 50, Rate{Count: 1000, Period: hour}, 950, 180 * second},
		{"the same interval with another count", Rate{Count: 60, Period: hour}, 3, Rate{Count: 1, Period: time.Minute, Burst: 3}, 0, 3 * time.Minute},
		{"the same interval in parts that the new count lacks: a microsecond more", Rate{Count: 7000, Period: hour}, 1, Rate{Count: 7, Period: 3600 * time.Millisecond}, 5, 514_286 * time.Microsecond},
	} {
		m := newTestMemory(t, 100, time.Time{})
		limits, results := []Limit{{Name: "key", Rate: line.old}}, make([]Result, 1)
		now := time.Unix(1_700_000_000, 0)
		for range line.used {
			if refused, err := m.Take(t.Context(), now, limits, results); refused != NotRefused || err != nil {
				t.Fatal(line.name, refused, err)
			}
		}
		limits[0].Rate = line.new
		if _, err := m.Peek(t.Context(), now, limits, results); err != nil || results[0].Remaining != line.remaining || results[0].ResetAfter != line.reset {
			t.Errorf("%s: %+v %v", line.name, results[0], err)
		}
		// A client that keeps asking meanwhile waits no longer than the new
		// rate says.
		later := now
		for step := line.reset / 200; later.Sub(now) < line.reset; later = later.Add(step) {
			_, _ = m.Peek(t.Context(), later, limits, results)
		}
		if _, err := m.Peek(t.Context(), later, limits, results); err != nil || results[0].ResetAfter != 0 {
			t.Errorf("%s, after %s: %+v %v", line.name, later.Sub(now), results[0], err)
		}
	}
}
