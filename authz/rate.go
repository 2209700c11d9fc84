package authz

import (
	"errors"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Rate is how often something may be done: Count times in each Period, and
// Burst times at once. The zero Rate is not valid and lets nothing pass.
type Rate struct {
	Count  int           // 1 to 999,999,999
	Period time.Duration // whole microseconds, 1 ms to 30 years
	Burst  int           // 0 is Count
}

// Bounds of a rate. Within them no sum or product of the arithmetic overflows,
// neither in 64 bits here nor in the 53 of a number in Redis.
const (
	MaxRateCount = 999_999_999
	minPeriod    = time.Millisecond
	maxPeriod    = 30 * 366 * 24 * time.Hour
	// MaxRefill is the most that a bucket takes to be whole again.
	MaxRefill = 366 * 24 * time.Hour // of a bucket that was used up
)

// What a rate can be refused for.
var (
	ErrRateText = errors.New("want a number of 1 to 999999999 and a unit, as 10/s, 100/m, 1000/h or 5000/d")
	ErrRate     = errors.New("rate is out of bounds")
)

var units = [...]struct {
	name   string
	period time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// ParseRate reads a rate as 10/s, 100/m, 1000/h or 5000/d, without zeros or
// blanks before it. The error is ErrRateText and does not quote the text.
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

// String is the rate as ParseRate reads it. A period that has no unit is
// written as Go does, as in 10/15m0s. The burst is not said.
func (r Rate) String() string {
	unit := r.Period.String()
	for _, u := range units {
		if u.period == r.Period {
			unit = u.name
		}
	}
	return strconv.Itoa(r.Count) + "/" + unit
}

// Validate returns ErrRate for a rate that is out of bounds: those of the fields,
// or one whose bucket, used up, takes more than 366 days to be whole again.
func (r Rate) Validate() error {
	inBounds := uint(r.Count-1) < MaxRateCount && r.Period >= minPeriod && r.Period <= maxPeriod && r.Period%time.Microsecond == 0
	switch {
	case !inBounds || r.Burst < 0 || r.Burst > MaxRateCount:
		return ErrRate
	case r.Burst == 0 && r.Period <= MaxRefill:
		return nil
	}
	// burst × period ÷ count, which is more than 64 bits hold.
	high, low := bits.Mul64(uint64(r.EffectiveBurst()), uint64(r.Period))
	if mostHigh, mostLow := bits.Mul64(uint64(r.Count), uint64(MaxRefill)); high > mostHigh || high == mostHigh && low > mostLow {
		return ErrRate
	}
	return nil
}

// EffectiveBurst is how many may be done at once.
func (r Rate) EffectiveBurst() int {
	if r.Burst != 0 {
		return r.Burst
	}
	return r.Count
}

// Share is what one of n replicas may let pass on its own, so that together
// they keep the rate: an n-th of it, to the last bit, with an n-th of the
// burst. It is at least one in the rate's period, and so more than a share
// where there are more replicas than that.
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
