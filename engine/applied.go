package engine

import (
	"context"
	"sync"
	"time"

	"keyward/store"
)

// appliedSeq is the number of the latest change that is in force. Its zero value is
// ready to use.
type appliedSeq struct {
	mu      sync.Mutex
	seq     int64
	changed chan struct{} // is closed when seq grows; nil: no one waits
}

// advance notes that the change is in force.
func (a *appliedSeq) advance(seq int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if seq <= a.seq {
		return
	}
	a.seq = seq
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// wait waits until the change is in force, and reports whether it is.
func (a *appliedSeq) wait(ctx context.Context, seq int64) bool {
	for {
		a.mu.Lock()
		if a.seq >= seq {
			a.mu.Unlock()
			return true
		}
		if a.changed == nil {
			a.changed = make(chan struct{})
		}
		changed := a.changed
		a.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// countingSink hands records on to a sink, and notes up to which change they are in
// force.
type countingSink[R any] struct {
	store.Sink[R]
	seqOf   func(*R) int64
	applied *appliedSeq

	current *countingGeneration[R] // in force; nil before there is one
}

// countingGeneration notes the latest change that was applied to a generation.
type countingGeneration[R any] struct {
	store.Generation[R]
	seqOf func(*R) int64
	seq   int64
}

// Begin implements store.Sink.
func (s *countingSink[R]) Begin() store.Generation[R] {
	return &countingGeneration[R]{Generation: s.Sink.Begin(), seqOf: s.seqOf}
}

// Commit implements store.Sink.
func (s *countingSink[R]) Commit(next store.Generation[R]) {
	s.current = next.(*countingGeneration[R])
	s.Sink.Commit(s.current.Generation)
	s.applied.advance(s.current.seq)
}

// Undone implements store.Sink.
func (s *countingSink[R]) Undone(next store.Generation[R], now time.Time) error {
	return s.Sink.Undone(next.(*countingGeneration[R]).Generation, now)
}

// Applied implements store.Sink.
func (s *countingSink[R]) Applied() {
	s.Sink.Applied()
	s.applied.advance(s.current.seq)
}

// Apply implements store.Generation.
func (g *countingGeneration[R]) Apply(r *R) (ended time.Time, err error) {
	seq := g.seqOf(r)
	ended, err = g.Generation.Apply(r)
	g.seq = max(g.seq, seq)
	return ended, err
}
