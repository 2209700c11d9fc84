package journal

import "time"

// Observer receives what a Follower did, for metrics. Its methods are called
// from the follower's goroutine and must not wait.
type Observer interface {
	// Reloaded is called when a file had changed. err is nil if its content is now in
	// force.
	Reloaded(err error)
	// BadLine is called for each line that was skipped.
	BadLine()
	// RolledBack is called when a file that undoes what is in force replaces the one
	// before: a revocation is missing, what ended is active again, or nothing of what
	// was in force is left.
	RolledBack()
	// Succeeded is called when what is in force was last known to be what the
	// file says. The zero time says that there is no file any more.
	Succeeded(at time.Time)
	// Revoked is called when a line ends something, with the time since the line was
	// written.
	Revoked(lag time.Duration)
}

// unobserved is the Observer if none is given.
type unobserved struct{}

func (unobserved) Reloaded(error)        {}
func (unobserved) BadLine()              {}
func (unobserved) RolledBack()           {}
func (unobserved) Succeeded(time.Time)   {}
func (unobserved) Revoked(time.Duration) {}
