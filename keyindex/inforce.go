package keyindex

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrSuspended means that what was loaded is too old to decide by.
var ErrSuspended = errors.New("too old to decide by")

// inForce is the set that a feed committed last, and whether checks decide by it: they do
// unless it is suspended. Its zero value has none.
type inForce[S any] struct {
	set    atomic.Pointer[S]     // what checks decide by; nil: nothing
	reason atomic.Pointer[error] // why nothing is committed

	committed atomic.Pointer[S] // by the feed

	mu        sync.Mutex // of what changes set
	suspended bool
}

// Load returns the set that checks decide by; nil if there is none. It is one atomic
// load.
func (f *inForce[S]) Load() *S { return f.set.Load() }

// commit puts a set in the place of the one before, which it returns.
func (f *inForce[S]) commit(next *S) (before *S) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.suspended {
		f.set.Store(next)
	}
	return f.committed.Swap(next)
}

// suspend has checks decide by nothing until resume.
func (f *inForce[S]) suspend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.suspended = true
	f.set.Store(nil)
}

// resume reports whether there was something to resume.
func (f *inForce[S]) resume() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.suspended
	f.suspended = false
	f.set.Store(f.committed.Load())
	return was
}

// ready returns why checks have nothing to decide by; nil if they have.
func (f *inForce[S]) ready() error {
	if f.set.Load() != nil {
		return nil
	}
	return f.missing()
}

// missing returns why there was nothing to decide by. It is never nil.
func (f *inForce[S]) missing() error {
	if f.committed.Load() != nil {
		return ErrSuspended
	}
	if reason := f.reason.Load(); reason != nil {
		return fmt.Errorf("%w: %w", ErrNotLoaded, *reason)
	}
	return ErrNotLoaded
}
