package ratelimit

import (
	"math"
	"math/bits"
	"time"
)

// Level is how full a bucket is, as the time it takes to be empty: whole
// microseconds and Part of one more, in parts of 1/Count. So nothing is
// rounded however often it is added up: a bucket of 7/s admits seven each
// second and not one more in a year. The zero Level is an empty bucket.
type Level struct {
	Micros int64
	Part   int64 // 0 to Count-1
}

func (l Level) atMost(other Level) bool {
	return l.Micros < other.Micros || l.Micros == other.Micros && l.Part <= other.Part
}

// up is the level in whole microseconds.
func (l Level) up() int64 {
	if l.Part > 0 {
		return l.Micros + 1
	}
	return l.Micros
}

// Rule is a valid Rate in the units of the arithmetic.
type Rule struct {
	Count int64
	Burst int64
	// Step is what one request puts in: period ÷ count.
	Step Level
	// Room is the level up to which one more is let in: burst-1 steps.
	Room Level
	// Pace is Step in microseconds, rounded. It tells one rate from another
	// in what a store keeps of a bucket.
	Pace   float32
	period int64 // microseconds
}

// RuleOf returns authz.ErrRate for a rate that is not valid.
func RuleOf(r Rate) (Rule, error) {
	var rule Rule
	if err := r.Validate(); err != nil {
		return rule, err
	}
	rule.set(r)
	return rule, nil
}

// set makes the rule that of a valid rate.
func (r *Rule) set(rate Rate) {
	count, burst, period := int64(rate.Count), int64(rate.EffectiveBurst()), int64(rate.Period/time.Microsecond)
	r.Count, r.Burst, r.period = count, burst, period
	r.Pace = float32(float64(period) / float64(count))
	r.Step.Micros = period / count
	r.Step.Part = period - r.Step.Micros*count
	if burst == count { // by far the most, and then there is nothing to divide
		r.Room = minus(Level{Micros: period}, r.Step, count)
		return
	}
	high, low := bits.Mul64(uint64(burst-1), uint64(period))
	micros, part := bits.Div64(high, low, uint64(count))
	r.Room = Level{int64(micros), int64(part)}
}

func plus(a, b Level, count int64) Level {
	sum := Level{a.Micros + b.Micros, a.Part + b.Part}
	if sum.Part >= count {
		sum.Part -= count
		sum.Micros++
	}
	return sum
}

func minus(a, b Level, count int64) Level {
	rest := Level{a.Micros - b.Micros, a.Part - b.Part}
	if rest.Part < 0 {
		rest.Part += count
		rest.Micros--
	}
	return rest
}

// Full is the level of a bucket that is used up.
func (r *Rule) Full() Level { return plus(r.Room, r.Step, r.Count) }

// Admits tells whether one more goes into a bucket of that level.
func (r *Rule) Admits(level Level) bool { return level.atMost(r.Room) }

// Add is the level with one more in it.
func (r *Rule) Add(level Level) Level { return plus(level, r.Step, r.Count) }

// level is that of a bucket which will be empty at that time, as it was kept
// under a rule of that pace. Where that was another rule, the number of requests
// in the bucket stays: the new one gives no burst on top of what was used.
//
// A bucket is never more than full, whatever the clock or the old rule say: so
// one that went back by a day locks nobody out for a day. What was changed like
// that is to be kept, also when the request is refused: else it would be changed
// anew each time, and the bucket would be full for as long.
func (r *Rule) level(empty Level, pace float32, now int64) (level Level, changed bool) {
	level = Level{empty.Micros - now, empty.Part}
	switch {
	case level.Micros < 0:
		return Level{}, false
	case pace != r.Pace:
		level, changed = r.convert(level, pace), true
	case level.Part >= r.Count: // 60/h has become 1/m: the same pace in other parts
		level, changed = Level{Micros: level.Micros + 1}, true
	}
	if full := r.Full(); !level.atMost(full) {
		return full, true
	}
	return level, changed
}

// convert is in floating point, as Redis does it, and rounds up.
func (r *Rule) convert(level Level, pace float32) Level {
	if !(pace > 0) {
		return r.Full()
	}
	requests := float64(level.up()) / float64(pace)
	micros := math.Ceil(float64(requests * float64(r.Pace)))
	if full := r.Full(); micros >= float64(full.Micros)+1 {
		return full
	}
	return Level{Micros: int64(micros)}
}

// Report says in result what there is to say of a bucket of that level. With
// admitted, the request is in it, or could be.
func (r *Rule) Report(result *Result, level Level, admitted bool) {
	result.Allowed = admitted
	result.Limit = int(r.Burst)
	result.Remaining = int(r.remaining(level))
	result.ResetAfter = time.Duration(level.up()) * time.Microsecond
	result.RetryAfter = 0
	if !admitted {
		result.RetryAfter = r.retryAfter(level)
	}
}

// retryAfter is how long until one more goes in; 0 where it does now.
func (r *Rule) retryAfter(level Level) time.Duration {
	if r.Admits(level) {
		return 0
	}
	return time.Duration(minus(level, r.Room, r.Count).up()) * time.Microsecond
}

// remaining is how many more go in: what is free, divided by a step.
func (r *Rule) remaining(level Level) int64 {
	free := minus(r.Full(), level, r.Count)
	high, low := bits.Mul64(uint64(free.Micros), uint64(r.Count))
	low, carry := bits.Add64(low, uint64(free.Part), 0)
	if high += carry; high == 0 {
		return int64(low / uint64(r.period))
	}
	n, _ := bits.Div64(high, low, uint64(r.period))
	return int64(n)
}
