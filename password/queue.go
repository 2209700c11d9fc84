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
// is against its network, then by who came first.
type Standing struct {
	Class     Class
	Suspicion time.Duration // until the network's failures are forgotten
}

// queue holds the jobs that wait, of each class the first to be served first.
type queue[V any] struct{ classes [classCount][]*flight[V] }

// push puts the flight into its place, and returns the one that has no room
// then: the last of the class, which may be the flight itself; nil is none.
func (q *queue[V]) push(f *flight[V], room int) (left *flight[V]) {
	standing := f.job.Standing
	if standing.Class >= classCount {
		return f
	}
	waiting := q.classes[standing.Class]
	at := len(waiting)
	for at > 0 && waiting[at-1].job.Standing.Suspicion > standing.Suspicion {
		at--
	}
	waiting = slices.Insert(waiting, at, f)
	if len(waiting) > room {
		left = waiting[room]
		waiting = slices.Delete(waiting, room, room+1)
	}
	q.classes[standing.Class] = waiting
	return left
}

// pop takes out the first of the highest class; nil is none.
func (q *queue[V]) pop() *flight[V] {
	for class := int(classCount) - 1; class >= 0; class-- {
		if len(q.classes[class]) > 0 {
			return q.take(class, 0)
		}
	}
	return nil
}

// expired takes out one that came before the time; nil is none.
func (q *queue[V]) expired(before time.Time) *flight[V] {
	for class, waiting := range q.classes {
		for at, f := range waiting {
			if f.since.Before(before) {
				return q.take(class, at)
			}
		}
	}
	return nil
}

func (q *queue[V]) take(class, at int) *flight[V] {
	f := q.classes[class][at]
	q.classes[class] = slices.Delete(q.classes[class], at, at+1) // clears what it leaves behind
	return f
}
