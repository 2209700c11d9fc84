package usage

import (
	"bytes"
	"time"
)

// chunk is the approximate size of one batch, in bytes.
const chunk = 256 << 10

func (t *Tracker) run() {
	defer close(t.done)
	ticker := time.NewTicker(t.cfg.Flush)
	defer ticker.Stop()
	for {
		closing := false
		select {
		case <-ticker.C:
		case <-t.wake:
		case <-t.stop:
			closing = true
		}
		t.logStatus(t.flush())
		if closing {
			return
		}
	}
}

// logStatus logs an error once a minute while it lasts, and its end.
func (t *Tracker) logStatus(err error) {
	const often = time.Minute
	now := t.cfg.Now()
	switch {
	case err == nil && !t.failingSince.IsZero():
		t.log.Info("usage is written again")
		t.failingSince = time.Time{}
	case err != nil && now.Sub(t.failingSince) >= often:
		t.log.Error("cannot write usage, buffering in memory", "error", err)
		t.failingSince = now
	}
}

// flush writes everything in memory to the store.
func (t *Tracker) flush() error {
	if !t.prepareFlush() {
		return nil
	}
	return t.store.Flush(source{t})
}

// prepareFlush evicts idle entries and reports whether there is anything to write.
func (t *Tracker) prepareFlush() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.round++
	lost, held := 0, len(t.pending)
	for i := range t.memory.shards {
		s := &t.memory.shards[i]
		lost += s.evictIdle(t.round)
		held += s.unflushedCount()
	}
	if lost > 0 {
		t.log.Warn("usage dropped: max_keys exceeded", "keys", lost, "room", t.cfg.MaxKeys)
	}
	return held > 0
}

// source is the Source of a Tracker.
type source struct{ *Tracker }

// Drain implements Source.
func (t source) Drain(write func(batch []byte) error) error {
	if err := t.writePending(write); err != nil { // of an earlier flush, which failed
		return err
	}
	for i := range t.memory.shards {
		s := &t.memory.shards[i]
		// No more than there are now: entries used meanwhile are drained next time.
		for left := s.unflushedCount(); left > 0; {
			var err error
			if left, err = t.drainShard(s, left, write); err != nil {
				return err
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.appendDrained()
	return t.writeLocked(write)
}

// Checkpoint implements Source.
func (t source) Checkpoint(write func(batch []byte) error) error {
	select {
	case <-t.stop:
		return errClosing
	case <-t.wake:
		return t.Drain(write)
	default:
		return nil
	}
}

// drainShard drains entries of a shard until none is left or a batch is full.
func (t *Tracker) drainShard(s *shard, left int, write func(batch []byte) error) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; left > 0 && len(t.pending) < chunk; left-- {
		var any bool
		if t.pending, any = s.drainOldest(t.pending, &t.drained, t.round); !any {
			return 0, nil
		}
	}
	if len(t.pending) < chunk {
		return left, nil
	}
	return left, t.writeLocked(write)
}

func (t *Tracker) writePending(write func(batch []byte) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writeLocked(write)
}

// writeLocked writes the pending lines. On an error all of them stay pending.
func (t *Tracker) writeLocked(write func(batch []byte) error) error {
	if len(t.pending) == 0 {
		return nil
	}
	err := write(t.pending)
	if err == nil {
		t.pending = t.pending[:0]
	}
	return err
}

// eachPendingLine calls visit with each line, without its newline.
func eachPendingLine(lines []byte, visit func(line []byte) error) error {
	for len(lines) > 0 {
		line, rest, _ := bytes.Cut(lines, []byte("\n"))
		if err := visit(line); err != nil {
			return err
		}
		lines = rest
	}
	return nil
}
