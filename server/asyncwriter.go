package server

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// asyncWriter writes lines in batches on its own goroutine. A check never
// waits for the output: a write would be the largest part of a denial, and a log
// collector that has stopped reading would stop every check that logs.
//
// An output that blocks or fails (an unread pipe, a full disk) loses no line
// while the buffer has space for it. Further lines are dropped, counted, and
// reported in a separate line once the output accepts lines again. A line that was
// partly written is completed first, so no line is torn.
type asyncWriter struct {
	out   io.Writer
	lost  string        // the line that reports dropped lines, with %d for how many
	pause time.Duration // between writes, and so the longest that a line waits
	limit int           // bytes that wait

	mu      sync.Mutex
	lines   []byte
	dropped int // since the last report

	total atomic.Int64 // dropped since the start

	wake chan struct{}
	stop chan struct{}
	done chan struct{}
	once sync.Once
	err  error // why the last lines are not written; read it only after done
}

const (
	logPause    = 5 * time.Millisecond
	maxBuffered = 4 << 20
	logWait     = time.Second // for an output that accepts nothing, at the end
	logMaxRetry = time.Second // between attempts at an output that fails
)

func newAsyncWriter(out io.Writer, lost string) *asyncWriter {
	b := &asyncWriter{out: out, lost: lost, pause: logPause, limit: maxBuffered, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go b.run()
	return b
}

// Write implements io.Writer for complete lines. It never waits for the output.
func (b *asyncWriter) Write(line []byte) (int, error) {
	b.mu.Lock()
	first := len(b.lines) == 0
	if len(b.lines)+len(line) > b.limit {
		b.dropped++
		b.total.Add(1)
	} else {
		b.lines = append(b.lines, line...)
	}
	b.mu.Unlock()
	if first {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
	return len(line), nil
}

// Dropped returns how many lines were dropped since the start.
func (b *asyncWriter) Dropped() int64 { return b.total.Load() }

// Close writes the lines that wait, and gives up after a second if the output does
// not accept them. Lines are then lost, and the error says so.
func (b *asyncWriter) Close() error {
	b.once.Do(func() { close(b.stop) })
	select {
	case <-b.done:
	case <-time.After(logWait):
		return errors.New("the log's output accepts nothing; its last lines are lost")
	}
	if b.err != nil {
		return fmt.Errorf("the log's last lines are lost: %w", b.err)
	}
	return nil
}

func (b *asyncWriter) run() {
	defer close(b.done)
	var spare []byte
	for {
		select {
		case <-b.wake:
		case <-b.stop:
			b.deliver(b.take(nil))
			return
		}
		b.sleep(b.pause)
		spare = b.take(spare)
		if !b.deliver(spare) {
			return // another line would tear this one
		}
	}
}

// take returns the lines that wait and puts the other buffer in their place.
func (b *asyncWriter) take(other []byte) []byte {
	b.mu.Lock()
	lines, dropped := b.lines, b.dropped
	b.lines, b.dropped = other[:0], 0
	b.mu.Unlock()
	if dropped > 0 {
		lines = fmt.Appendf(lines, b.lost, dropped)
	}
	return lines
}

// deliver writes the lines, and retries what the output did not accept. After
// Close it tries only once more. It reports whether everything is written.
func (b *asyncWriter) deliver(lines []byte) bool {
	retry := b.pause
	for open := true; len(lines) > 0; {
		n, err := b.out.Write(lines)
		if n > 0 {
			lines, retry = lines[n:], b.pause
			continue
		}
		if !open {
			b.err = cmp.Or(err, io.ErrShortWrite)
			return false
		}
		open = b.sleep(retry)
		retry = min(2*retry, logMaxRetry)
	}
	return true
}

// sleep reports whether the buffer is still open after the time.
func (b *asyncWriter) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-b.stop:
		return false
	}
}
