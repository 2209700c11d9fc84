package ratelimit

import (
	"math"
	"math/bits"
	"time"
)

// Interval is a time in the units of GCRA: whole microseconds and Part of one
// more, in parts of 1/Count. So nothing is rounded however often it is added up: a
// bucket of 7/s admits seven each second and not one more in a year. A bucket's TAT (theoretical
// arrival time) is kept as the Interval from now until the bucket is full again:
// zero for a full bucket.
type Interval struct {
	Micros int64
	Part   int64 // 0 to Count-1
}

// AtMost reports whether the interval is not longer than the other.
func (i Interval) AtMost(other Interval) bool {
	return i.Micros < other.Micros || i.Micros == other.Micros && i.Part <= other.Part
}

// Ceil is the interval in whole microseconds, rounded up.
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
	// EmissionInterval is what one request puts in: period ÷ count.
	EmissionInterval Interval
	// BurstTolerance is the TAT up to which one more request is allowed: burst-1
	// emission intervals.
	BurstTolerance Interval
	// IntervalMicros is EmissionInterval in microseconds, rounded. It distinguishes
	// one rate from another in what a store keeps of a bucket.
	IntervalMicros float32
	period         int64 // microseconds
}

// NewParams returns authz.ErrRate for a rate that is not valid.
func NewParams(r Rate) (Params, error) {
	var params Params
	if err := r.Validate(); err != nil {
		return params, err
	}
	params.set(r)
	return params, nil
}

// set sets the parameters of a valid rate.
func (p *Params) set(rate Rate) {
	count, burst, period := int64(rate.Count), int64(rate.EffectiveBurst()), int64(rate.Period/time.Microsecond)
	p.Count, p.Burst, p.period = count, burst, period
	p.IntervalMicros = float32(float64(period) / float64(count))
	p.EmissionInterval.Micros = period / count
	p.EmissionInterval.Part = period - p.EmissionInterval.Micros*count
	if burst == count { // by far the most, and then there is nothing to divide
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

// MaxTAT is the TAT of a bucket that is used up.
func (p *Params) MaxTAT() Interval { return plus(p.BurstTolerance, p.EmissionInterval, p.Count) }

// Allows reports whether a bucket with that TAT allows one more request.
func (p *Params) Allows(tat Interval) bool { return tat.AtMost(p.BurstTolerance) }

// Charge returns the TAT after one more request.
func (p *Params) Charge(tat Interval) Interval { return plus(tat, p.EmissionInterval, p.Count) }

// tat returns the TAT of a bucket that will be full at that time, as it was stored
// under a rate of that interval. Where that was another rate, the number of requests
// in the bucket stays: the new one gives no burst on top of what was used.
//
// A bucket is never more than used up, whatever the clock or the old rate say: so
// one that went back by a day locks nobody out for a day. What was changed like
// that is to be kept, also when the request is refused: else it would be changed
// anew each time, and the bucket would be used up for as long.
func (p *Params) tat(fullAt Interval, interval float32, now int64) (tat Interval, changed bool) {
	tat = Interval{fullAt.Micros - now, fullAt.Part}
	switch {
	case tat.Micros < 0:
		return Interval{}, false
	case interval != p.IntervalMicros:
		tat, changed = p.convert(tat, interval), true
	case tat.Part >= p.Count: // 60/h has become 1/m: the same interval in other parts
		tat, changed = Interval{Micros: tat.Micros + 1}, true
	}
	if maxTAT := p.MaxTAT(); !tat.AtMost(maxTAT) {
		return maxTAT, true
	}
	return tat, changed
}

// convert is in floating point, as Redis does it, and rounds up.
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

// Report fills in the result for a bucket with that TAT. With admitted, the
// request was charged, or could have been.
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

// retryAfter is how long until one more goes in; 0 where it does now.
func (p *Params) retryAfter(tat Interval) time.Duration {
	if p.Allows(tat) {
		return 0
	}
	return time.Duration(minus(tat, p.BurstTolerance, p.Count).Ceil()) * time.Microsecond
}

// remaining is how many more go in: what is free, divided by the emission interval.
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
