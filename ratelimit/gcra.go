package ratelimit

import (
	"math"
	"math/bits"
	"time"
)

// Interval is a time in the units of GCRA: entire microseconds, and Part of one
// more in units of 1/Count. Sums are therefore exact, however many are added: a
// bucket of 7/s allows seven requests each second, and not one more in a year.
// The TAT (theoretical arrival time) of a bucket is stored as the Interval from
// now until the bucket is full again; it is zero for a full bucket.
type Interval struct {
	Micros int64
	Part   int64 // 0 to Count-1
}

// AtMost reports whether the interval is not longer than the other.
func (i Interval) AtMost(other Interval) bool {
	return i.Micros < other.Micros || i.Micros == other.Micros && i.Part <= other.Part
}

// Ceil returns the interval in microseconds, rounded up.
func (i Interval) Ceil() int64 {
	if i.Part > 0 {
		return i.Micros + 1
	}
	return i.Micros
}

// Params is a valid Rate in the units of the arithmetic.
type Params struct {
	Count int64
	Burst int64
	// EmissionInterval is the charge of one request: period ÷ count.
	EmissionInterval Interval
	// BurstTolerance is the TAT up to which one more request is allowed:
	// burst-1 emission intervals.
	BurstTolerance Interval
	// IntervalMicros is EmissionInterval in microseconds, rounded. A store
	// keeps it with a bucket to detect a changed rate.
	IntervalMicros float32
	period         int64 // microseconds
}

// NewParams returns the parameters of the rate, or authz.ErrRate for a rate
// that is not valid.
func NewParams(r Rate) (Params, error) {
	var params Params
	if err := r.Validate(); err != nil {
		return params, err
	}
	params.Set(r)
	return params, nil
}

// Set sets the parameters of a valid rate.
func (p *Params) Set(rate Rate) {
	count, burst, period := int64(rate.Count), int64(rate.EffectiveBurst()), int64(rate.Period/time.Microsecond)
	p.Count, p.Burst, p.period = count, burst, period
	p.IntervalMicros = float32(float64(period) / float64(count))
	p.EmissionInterval.Micros = period / count
	p.EmissionInterval.Part = period - p.EmissionInterval.Micros*count
	if burst == count { // by far the most common case, which needs no division
		p.BurstTolerance = minus(Interval{Micros: period}, p.EmissionInterval, count)
		return
	}
	high, low := bits.Mul64(uint64(burst-1), uint64(period))
	micros, part := bits.Div64(high, low, uint64(count))
	p.BurstTolerance = Interval{int64(micros), int64(part)}
}

func plus(a, b Interval, count int64) Interval {
	sum := Interval{a.Micros + b.Micros, a.Part + b.Part}
	if sum.Part >= count {
		sum.Part -= count
		sum.Micros++
	}
	return sum
}

func minus(a, b Interval, count int64) Interval {
	rest := Interval{a.Micros - b.Micros, a.Part - b.Part}
	if rest.Part < 0 {
		rest.Part += count
		rest.Micros--
	}
	return rest
}

// MaxTAT returns the TAT of an exhausted bucket.
func (p *Params) MaxTAT() Interval { return plus(p.BurstTolerance, p.EmissionInterval, p.Count) }

// Allows reports whether a bucket with that TAT allows one more request.
func (p *Params) Allows(tat Interval) bool { return tat.AtMost(p.BurstTolerance) }

// Charge returns the TAT after one more request.
func (p *Params) Charge(tat Interval) Interval { return plus(tat, p.EmissionInterval, p.Count) }

// tat returns the TAT of a bucket that will be full at fullAt, which was stored
// under a rate with the given emission interval. Under a different rate now,
// the bucket keeps its number of requests: the new rate does not grant a burst
// on top of what was used.
//
// A TAT is never above that of an exhausted bucket, whatever the clock or the
// old rate say. A clock that goes back by a day therefore blocks no client for
// a day. The caller must store a changed TAT even if the request is refused.
// Otherwise the TAT would be changed again each time, and the bucket would stay
// exhausted for as long.
func (p *Params) tat(fullAt Interval, interval float32, now int64) (tat Interval, changed bool) {
	tat = Interval{fullAt.Micros - now, fullAt.Part}
	switch {
	case tat.Micros < 0:
		return Interval{}, false
	case interval != p.IntervalMicros:
		tat, changed = p.convert(tat, interval), true
	case tat.Part >= p.Count: // 60/h has become 1/m: the same interval with another Count
		tat, changed = Interval{Micros: tat.Micros + 1}, true
	}
	if maxTAT := p.MaxTAT(); !tat.AtMost(maxTAT) {
		return maxTAT, true
	}
	return tat, changed
}

// convert converts a TAT to the new rate. It uses floating point, as Redis
// does, and rounds up.
func (p *Params) convert(tat Interval, interval float32) Interval {
	if !(interval > 0) {
		return p.MaxTAT()
	}
	requests := float64(tat.Ceil()) / float64(interval)
	micros := math.Ceil(float64(requests * float64(p.IntervalMicros)))
	if maxTAT := p.MaxTAT(); micros >= float64(maxTAT.Micros)+1 {
		return maxTAT
	}
	return Interval{Micros: int64(micros)}
}

// Report fills in the result for a bucket with that TAT. admitted means that
// the request was charged, or could have been.
func (p *Params) Report(result *Result, tat Interval, admitted bool) {
	result.Allowed = admitted
	result.Limit = int(p.Burst)
	result.Remaining = int(p.remaining(tat))
	result.ResetAfter = time.Duration(tat.Ceil()) * time.Microsecond
	result.RetryAfter = 0
	if !admitted {
		result.RetryAfter = p.retryAfter(tat)
	}
}

// retryAfter returns the time until one more request is allowed; 0 if it is
// allowed now.
func (p *Params) retryAfter(tat Interval) time.Duration {
	if p.Allows(tat) {
		return 0
	}
	return time.Duration(minus(tat, p.BurstTolerance, p.Count).Ceil()) * time.Microsecond
}

// remaining returns how many more requests are allowed: the free part of the
// bucket divided by the emission interval.
func (p *Params) remaining(tat Interval) int64 {
	free := minus(p.MaxTAT(), tat, p.Count)
	high, low := bits.Mul64(uint64(free.Micros), uint64(p.Count))
	low, carry := bits.Add64(low, uint64(free.Part), 0)
	if high += carry; high == 0 {
		return int64(low / uint64(p.period))
	}
	n, _ := bits.Div64(high, low, uint64(p.period))
	return int64(n)
}
