package store

import (
	"context"
	"time"
)

// Feed is where the records of one kind come from.
type Feed[R any] interface {
	// Follow brings the sink up to date before it returns, if the store can be read,
	// and keeps it up to date from then on. A store that cannot be read is not an error:
	// the sink learns why, and is brought up to date once the store can be read.
	Follow(into Sink[R]) (Follower, error)
}

// Follower keeps one sink up to date.
type Follower interface {
	// Reload has everything read again. It does not wait for that.
	Reload()
	// Await returns nil once all that the store had before the call is in force, or why
	// that is not known.
	Await(ctx context.Context) error
	// Close stops following and waits until it has stopped. The sink stays as it is.
	Close() error
}

// Sink is what the records of one kind are read into, by one goroutine.
type Sink[R any] interface {
	// Begin makes an empty Generation, which Commit puts in force in place of the
	// one before.
	Begin() Generation[R]
	Commit(Generation[R])
	// Undone returns what committing a Generation would undo of what is in force: a
	// revocation, or all there is. It is nil before anything is in force.
	Undone(next Generation[R], now time.Time) error
	// Applied is called after a record was applied to the Generation in force.
	Applied()
	// Fault is called with the reason why nothing is in force yet.
	Fault(reason error)
}

// Generation is what the records of a store come to.
type Generation[R any] interface {
	// Apply applies a record, which is valid until it returns, and so are its texts:
	// what is kept is copied. A later record about the same key or user replaces the
	// earlier. ended is when the record was written, if it ends something. An error
	// means that the record cannot be applied; it does not stop those that follow.
	Apply(*R) (ended time.Time, err error)
}
