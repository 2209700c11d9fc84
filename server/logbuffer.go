package server

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// logBuffer writes lines some at a time, on a goroutine of its own: a line's
// write would else be the largest part of a denial, and a log collector that has
// stopped reading would stop every check that has something to say. Lines that
// there is no room for are dropped, and counted in a line of their own.
type logBuffer struct {
	out   io.Writer
	lost  string        // how to say that lines were dropped, with %d for how many
	pause time.Duration // between writes; a line waits so long at most
	most  int           // bytes that wait

	mu      sync.Mutex
	lines   []byte
	dropped int

	wake chan struct{}
	stop chan struct{}
	done chan struct{}
	once sync.Once
}

const (
	logPause = 5 * time.Millisecond
	logMost  = 4 << 20
	logWait  = time.Second // for an output that takes nothing, at the end
)

func newLogBuffer(out io.Writer, lost string) *logBuffer {
	b := &logBuffer{out: out, lost: lost, pause: logPause, most: logMost, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go b.run()
	return b
}

// Write implements io.Writer for whole lines. It never waits for the output.
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	first := len(b.lines) == 0
	if len(b.lines)+len(line) > b.most {
		b.dropped++
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

// Close writes what waits. It waits until that is done, or does not get done.
func (b *logBuffer) Close() error {
	b.once.Do(func() { close(b.stop) })
	select {
	case <-b.done:
		return nil
	case <-time.After(logWait):
		return errors.New("the log's output takes nothing; its last lines are lost")
	}
}

func (b *logBuffer) run() {
	defer close(b.done)
	var spare []byte
	for {
		select {
		case <-b.wake:
		case <-b.stop:
			b.flush(nil)
			return
		}
		select {
		case <-time.After(b.pause):
		case <-b.stop:
		}
		spare = b.flush(spare)
	}
}

// flush writes what there is and puts the other buffer in its place. Whether
// the output takes it is not ours to mend: there is nowhere to say so.
func (b *logBuffer) flush(other []byte) []byte {
	b.mu.Lock()
	lines, dropped := b.lines, b.dropped
	b.lines, b.dropped = other[:0], 0
	b.mu.Unlock()
	if dropped > 0 {
		lines = fmt.Appendf(lines, b.lost, dropped)
	}
	if len(lines) > 0 {
		_, _ = b.out.Write(lines)
	}
	return lines
}
