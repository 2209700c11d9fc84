package keystore

import "time"

// Observer is told what a Follower did, for metrics. Its methods are called
// from the follower's goroutine and must not wait.
type Observer interface {
	// Reloaded is called when a file was looked at with news in it: err is nil
	// where what it says is now in force.
	Reloaded(err error)
	// BadLine is called for each line that was stepped over.
	BadLine()
	// RolledBack is called when a file that undoes what is in force takes the
	// place of the one before: a revocation is missing, a revoked key is active
	// again, or nothing of what was in force is left.
	RolledBack()
	// Succeeded is called when what is in force was last known to be what the
	// file says. The zero time says that there is no file any more.
	Succeeded(at time.Time)
	// Revoked is called with the time from a key's end being written to its
	// being in force.
	Revoked(lag time.Duration)
}

// unobserved is the Observer of who gave none.
type unobserved struct{}

func (unobserved) Reloaded(error)        {}
func (unobserved) BadLine()              {}
func (unobserved) RolledBack()           {}
func (unobserved) Succeeded(time.Time)   {}
func (unobserved) Revoked(time.Duration) {}
