package password

import (
	"slices"
	"time"
)

// Class says who goes first when there is more to hash than time. A job of
// one class takes no room from those of another.
type Class uint8

// The classes, last served first: the zero Class is the one that waits for all others.
const (
	Suspected   Class = iota // the user or the network has had many failures lately
	Unsuspected              // nothing is known
	Familiar                 // these very words were right before

	classCount
)

// Standing is a job's place among others: by class, then by how little there
// is against where it comes from, then by who came first.
type Standing struct {
	Class     Class
	Suspicion time.Duration // until what is against it is forgotten
}

// before tells whether the standing is better than another.
func (s Standing) before(other Standing) bool {
	return s.Class > other.Class || s.Class == other.Class && s.Suspicion < other.Suspicion
}

// queue holds the jobs that wait, of each class the first to be served first.
type queue[V any] struct {
	classes [classCount][]*flight[V]
	passed  int // how often in a row a lower class was passed over

	fromTheEnd bool // who was passed over and served last
}

// push puts the flight into its place, and returns the one that has no room
// then: one of its class whose callers have left, or else the last, which may
// be the flight itself; nil is none.
func (q *queue[V]) push(f *flight[V], room int, now time.Time) (left *flight[V]) {
	standing := f.job.Standing
	if standing.Class >= classCount {
		return f
	}
	waiting := q.classes[standing.Class]
	at := len(waiting)
	for at > 0 && standing.before(waiting[at-1].job.Standing) {
		at--
	}
	waiting = slices.Insert(waiting, at, f)
	q.classes[standing.Class] = waiting
	if len(waiting) <= room {
		return nil
	}
	late := slices.IndexFunc(waiting, func(f *flight[V]) bool { return !f.timely(now) })
	if late < 0 {
		late = len(waiting) - 1
	}
	return q.take(int(standing.Class), late)
}

// mostPassed is how often in a row higher classes may go first, so that a flood which nothing
// is known against yet does not keep out whoever has a name that others guess
// at, or is one of many behind one address.
const mostPassed = 3

// pop takes out the next to be served of those that may be; nil is none.
func (q *queue[V]) pop(may func(*flight[V]) bool) *flight[V] {
	first, last, at := -1, -1, [classCount]int{}
	for class := range at {
		if at[class] = slices.IndexFunc(q.classes[class], may); at[class] >= 0 {
			if last < 0 {
				last = class
			}
			first = class
		}
	}
	switch {
	case first < 0:
		return nil
	case first == last:
		q.passed = 0
		return q.take(first, at[first])
	case q.passed == mostPassed:
		q.passed = 0
		return q.take(last, q.passedOver(last, at[last], may))
	default:
		q.passed++
		return q.take(first, at[first])
	}
}

// passedOver is in turns the first and the last of the class that may be served: else the last, however
// long there are others, would never be.
func (q *queue[V]) passedOver(class, first int, may func(*flight[V]) bool) int {
	if q.fromTheEnd = !q.fromTheEnd; q.fromTheEnd {
		return first
	}
	for at := len(q.classes[class]) - 1; at > first; at-- {
		if may(q.classes[class][at]) {
			return at
		}
	}
	return first
}

// expired takes out one whose last caller left before the time; nil is none.
func (q *queue[V]) expired(before time.Time) *flight[V] {
	for class, waiting := range q.classes {
		if at := slices.IndexFunc(waiting, func(f *flight[V]) bool { return f.until.Before(before) }); at >= 0 {
			return q.take(class, at)
		}
	}
	return nil
}

// remove takes out that one.
func (q *queue[V]) remove(f *flight[V]) {
	class := int(f.job.Standing.Class)
	if at := slices.Index(q.classes[class], f); at >= 0 {
		q.take(class, at)
	}
}

func (q *queue[V]) take(class, at int) *flight[V] {
	f := q.classes[class][at]
	q.classes[class] = slices.Delete(q.classes[class], at, at+1) // clears what it leaves behind
	return f
}
