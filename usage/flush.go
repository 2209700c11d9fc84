package usage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"keyward/store/journal"
)

// chunk is the approximate size of one write, in bytes.
const chunk = 256 << 10

// maxReplacements bounds how often a flush starts again because another process
// replaced the file.
const maxReplacements = 10

// errClosing stops a compaction when the Tracker closes.
var errClosing = errors.New("closing")

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
		t.cfg.Log.Info("usage is written again", "file", t.cfg.File)
		t.failingSince = time.Time{}
	case err != nil && now.Sub(t.failingSince) >= often:
		t.cfg.Log.Error("cannot write usage file, buffering in memory", "file", t.cfg.File, "error", err)
		t.failingSince = now
	}
}

// flush writes everything in memory to the file, and compacts the file if it has
// grown enough.
func (t *Tracker) flush() error {
	if !t.prepareFlush() {
		return nil
	}
	for range maxReplacements {
		if err := t.flushOnce(); !errors.Is(err, journal.ErrReplaced) {
			return err
		}
	}
	return fmt.Errorf("%w, %d times in a row", journal.ErrReplaced, maxReplacements)
}

// flushOnce flushes to the file that the path names now.
func (t *Tracker) flushOnce() error {
	a, err := openUsageFile(t.cfg.File, t.lockTimeout, t.cfg.Now())
	if err != nil {
		return err
	}
	defer a.Close() // all writes are synced
	t.detectReplacement(a)
	if err := t.drain(a); err != nil {
		return err
	}
	if a.Size() < 2*t.baseline || a.Size() < t.compactAbove {
		return nil
	}
	switch err := t.compact(a); {
	case errors.Is(err, errClosing):
		return nil
	case err != nil:
		t.baseline = a.Size() // so that the next flush does not fail in the same way
		return err
	}
	return nil
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
		t.cfg.Log.Warn("usage dropped: max_keys exceeded", "keys", lost, "room", t.cfg.MaxKeys)
	}
	return held > 0
}

// drain writes everything that memory holds: each chunk in a single write of
// complete lines.
func (t *Tracker) drain(a *usageFile) error {
	for i := range t.memory.shards {
		s := &t.memory.shards[i]
		// No more than there are now: entries used meanwhile are drained next time.
		for left := s.unflushedCount(); left > 0; {
			var err error
			if left, err = t.drainShard(a, s, left); err != nil {
				return err
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writePending(a)
}

// drainShard drains entries of a shard until none is left or a chunk is full.
func (t *Tracker) drainShard(a *usageFile, s *shard, left int) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; left > 0 && len(t.pending) < chunk; left-- {
		var any bool
		if t.pending, any = s.drainOldest(t.pending, t.round); !any {
			return 0, nil
		}
	}
	if len(t.pending) < chunk {
		return left, nil
	}
	return left, t.writePending(a)
}

// writePending appends the pending lines to the file. On an error all of them
// stay pending, and what was written of them is removed again.
func (t *Tracker) writePending(a *usageFile) error {
	if len(t.pending) == 0 {
		return nil
	}
	err := a.Append(func(w io.Writer) error {
		_, err := t.write(w, t.pending)
		return err
	})
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
