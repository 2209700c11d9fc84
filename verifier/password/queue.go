package password

import (
	"slices"
	"time"
)

// Class orders tasks when more is to be hashed than time allows. Each class has
// its own queue space.
type Class uint8

// The classes, lowest first: the zero Class waits for all others.
const (
	Suspect Class = iota // the user or the network has had many failures lately
	Unknown              // nothing is known
	Trusted              // this password was right for this user before

	classCount
)

// Priority orders tasks: by class, then by penalty, then by arrival.
type Priority struct {
	Class   Class
	Penalty time.Duration // until the recent attempts of its origin are forgotten
}

// higher reports whether p goes before other.
func (p Priority) higher(other Priority) bool {
	return p.Class > other.Class || p.Class == other.Class && p.Penalty < other.Penalty
}

// queue holds the waiting tasks, those of each class in the order of service.
type queue struct {
	classes [classCount][]*task
	skips   int // consecutive times that a lower class was skipped

	newestNext bool // whether the oldest starved task was served last
}

// push inserts the task, and returns the one that the queue has no space for
// then: one of its class whose callers have left, or else the last of the
// class, which may be t itself; nil is none.
func (q *queue) push(t *task, size int, now time.Time) (dropped *task) {
	priority := t.job.Priority
	if priority.Class >= classCount {
		return t
	}
	waiting := q.classes[priority.Class]
	at := len(waiting)
	for at > 0 && priority.higher(waiting[at-1].job.Priority) {
		at--
	}
	waiting = slices.Insert(waiting, at, t)
	q.classes[priority.Class] = waiting
	if len(waiting) <= size {
		return nil
	}
	late := slices.IndexFunc(waiting, func(t *task) bool { return !t.meetsDeadline(now) })
	if late < 0 {
		late = len(waiting) - 1
	}
	return q.take(int(priority.Class), late)
}

// maxSkips is how many times in a row higher classes may go first, so that a
// flood of clients without a history does not keep out a user whose name others
// guess at, or one of many clients behind one address.
const maxSkips = 3

// pop takes out the next runnable task; nil is none.
func (q *queue) pop(runnable func(*task) bool) *task {
	first, last, at := -1, -1, [classCount]int{}
	for class := range at {
		if at[class] = slices.IndexFunc(q.classes[class], runnable); at[class] >= 0 {
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
		q.skips = 0
		return q.take(first, at[first])
	case q.skips == maxSkips:
		q.skips = 0
		return q.take(last, q.nextStarved(last, at[last], runnable))
	default:
		q.skips++
		return q.take(first, at[first])
	}
}

// nextStarved alternates between the first and the last runnable task of the
// class, so that neither end can starve.
func (q *queue) nextStarved(class, first int, runnable func(*task) bool) int {
	if q.newestNext = !q.newestNext; q.newestNext {
		return first
	}
	for at := len(q.classes[class]) - 1; at > first; at-- {
		if runnable(q.classes[class][at]) {
			return at
		}
	}
	return first
}

// expired takes out a task whose deadline is before the given time; nil is
// none.
func (q *queue) expired(before time.Time) *task {
	for class, waiting := range q.classes {
		if at := slices.IndexFunc(waiting, func(t *task) bool { return t.deadline.Before(before) }); at >= 0 {
			return q.take(class, at)
		}
	}
	return nil
}

// remove takes t out, if it is queued.
func (q *queue) remove(t *task) {
	class := int(t.job.Priority.Class)
	if at := slices.Index(q.classes[class], t); at >= 0 {
		q.take(class, at)
	}
}

func (q *queue) take(class, at int) *task {
	t := q.classes[class][at]
	q.classes[class] = slices.Delete(q.classes[class], at, at+1) // clears what it leaves behind
	return t
}
