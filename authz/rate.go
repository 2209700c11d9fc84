package authz

import (
	"errors"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Rate is how often something may happen: Count times in each Period, and Burst
// times at once. The zero Rate is not valid and allows nothing.
type Rate struct {
	Count  int           // 1 to 999,999,999
	Period time.Duration // a multiple of 1 µs, from 1 ms to 30 years
	Burst  int           // 0 means Count
}

// Bounds of a rate. Within them no sum or product of the arithmetic overflows,
// neither in 64 bits here nor in the 53 bits of a number in Redis.
const (
	MaxRateCount = 999_999_999
	minPeriod    = time.Millisecond
	maxPeriod    = 30 * 366 * 24 * time.Hour
	// MaxRefill is the longest time that an exhausted bucket may take to
	// refill.
	MaxRefill = 366 * 24 * time.Hour
)

// Errors of ParseRate and Validate.
var (
	ErrRateText = errors.New("want a number of 1 to 999999999 and a unit, as 10/s, 100/m, 1000/h or 5000/d")
	ErrRate     = errors.New("rate is out of bounds")
)

var units = [...]struct {
	name   string
	period time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// ParseRate parses a rate such as 10/s, 100/m, 1000/h or 5000/d, without
// leading zeros or spaces. The error is ErrRateText and does not quote the
// text.
func ParseRate(text string) (Rate, error) {
	number, unit, _ := strings.Cut(text, "/")
	if number == "" || len(number) > 9 || number[0] == '0' || strings.Trim(number, "0123456789") != "" {
		return Rate{}, ErrRateText
	}
	count, err := strconv.Atoi(number)
	if err != nil {
		return Rate{}, ErrRateText
	}
	for _, u := range units {
		if u.name == unit {
			return Rate{Count: count, Period: u.period}, nil
		}
	}
	return Rate{}, ErrRateText
}

// String returns the rate as ParseRate reads it. A period without a unit is
// written as Go writes durations, as in 10/15m0s. The burst is not included.
func (r Rate) String() string {
	unit := r.Period.String()
	for _, u := range units {
		if u.period == r.Period {
			unit = u.name
		}
	}
	return strconv.Itoa(r.Count) + "/" + unit
}

// AtMost reports whether r allows no more than limit does, neither in time nor at
// once.
func (r Rate) AtMost(limit Rate) bool {
	// r.Count / r.Period <= limit.Count / limit.Period, without the loss of a division
	rHi, rLo := bits.Mul64(uint64(r.Count), uint64(limit.Period))
	lHi, lLo := bits.Mul64(uint64(limit.Count), uint64(r.Period))
	return (rHi < lHi || rHi == lHi && rLo <= lLo) && r.burst() <= limit.burst()
}

func (r Rate) burst() int {
	if r.Burst == 0 {
		return r.Count
	}
	return r.Burst
}

// Validate returns ErrRate if a field is out of bounds, or if an exhausted
// bucket takes more than 366 days to refill.
func (r Rate) Validate() error {
	inBounds := uint(r.Count-1) < MaxRateCount && r.Period >= minPeriod && r.Period <= maxPeriod && r.Period%time.Microsecond == 0
	switch {
	case !inBounds || r.Burst < 0 || r.Burst > MaxRateCount:
		return ErrRate
	case r.Burst == 0 && r.Period <= MaxRefill:
		return nil
	}
	// burst × period ÷ count can exceed 64 bits.
	high, low := bits.Mul64(uint64(r.EffectiveBurst()), uint64(r.Period))
	if mostHigh, mostLow := bits.Mul64(uint64(r.Count), uint64(MaxRefill)); high > mostHigh || high == mostHigh && low > mostLow {
		return ErrRate
	}
	return nil
}

// EffectiveBurst returns how many requests may come at once.
func (r Rate) EffectiveBurst() int {
	if r.Burst != 0 {
		return r.Burst
	}
	return r.Count
}

// Share returns the rate that each of n replicas may allow on its own, so that
// together they keep the rate: exactly an nth of the rate, with an nth of the
// burst. A share is at least one per period, which exceeds an nth if there are
// more replicas than the rate's count.
func (r Rate) Share(n int) Rate {
	switch {
	case n <= 1:
		return r
	case n >= r.Count:
		return Rate{Count: min(r.Count, 1), Period: r.Period, Burst: max(r.EffectiveBurst()/n, 1)}
	default:
		return Rate{Count: r.Count, Period: r.Period * time.Duration(n), Burst: max(r.EffectiveBurst()/n, 1)}
	}
}
