package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// blockingWriter is an output that takes nothing until it is released.
type blockingWriter struct {
	release chan struct{}
	mu      sync.Mutex
	text    bytes.Buffer
}

func (s *blockingWriter) Write(p []byte) (int, error) {
	<-s.release
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func TestLinesAreWrittenInOrderAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &blockingWriter{release: make(chan struct{})}
		close(out.release)
		b := newAsyncWriter(out, "")
		fmt.Fprintln(b, "one")
		fmt.Fprintln(b, "two")
		time.Sleep(logPause)
		synctest.Wait()
		if got := out.text.String(); got != "one\ntwo\n" {
			t.Errorf("%q", got)
		}
		fmt.Fprintln(b, "three")
		if err := b.Close(); err != nil || out.text.String() != "one\ntwo\nthree\n" {
			t.Errorf("%q, %v", out.text.String(), err)
		}
	})
}

// TestStuckOutput: a caller that logs does not wait, memory is bounded, and the loss is reported.
func TestStuckOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &blockingWriter{release: make(chan struct{})}
		b := newAsyncWriter(out, lostJSON)
		line := strings.Repeat("x", 1023)
		for range 3 {
			for range maxBuffered / 1024 {
				fmt.Fprintln(b, line)
			}
			time.Sleep(time.Second)
		}
		if got := b.Dropped(); got != maxBuffered/1024 {
			t.Errorf("%d lines counted as dropped", got)
		}
		if b.Close() == nil {
			t.Error("Close waited for what will not end")
		}
		close(out.release)
		synctest.Wait()
		text := out.text.String()
		if kept := strings.Count(text, line); kept != 2*maxBuffered/1024 || !strings.Contains(text, fmt.Sprintf(`"count":%d}`, maxBuffered/1024)) {
			t.Errorf("%d lines kept, ends with %q", kept, text[len(text)-100:])
		}
	})
}

// fullDisk accepts what there is space for, and fails otherwise.
type fullDisk struct {
	space atomic.Int64
	text  bytes.Buffer
}

func (d *fullDisk) Write(p []byte) (int, error) {
	n := int(min(d.space.Load(), int64(len(p))))
	d.space.Add(-int64(n))
	d.text.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// TestFullDisk: lines wait for space, the line that was cut off is completed, and
// nothing is written twice.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &fullDisk{}
		out.space.Store(int64(len("first") + 3))
		b := newAsyncWriter(out, lostJSON)
		b.limit = 12
		fmt.Fprintln(b, "first")
		fmt.Fprintln(b, "other")
		time.Sleep(time.Minute)
		fmt.Fprintln(b, "third")
		fmt.Fprintln(b, "fourth, for which there is no space")
		time.Sleep(time.Minute)
		synctest.Wait()
		out.space.Store(1 << 20)
		time.Sleep(logMaxRetry)
		synctest.Wait()
		want := "first\nother\nthird\n" + fmt.Sprintf(lostJSON, 1)
		if err := b.Close(); err != nil || out.text.String() != want {
			t.Errorf("%q, want %q; %v", out.text.String(), want, err)
		}
	})
}

// scripted accepts so many bytes of each write.
type scripted struct {
	accepts []int
	text    bytes.Buffer
}

func (s *scripted) Write(p []byte) (int, error) {
	n := min(s.accepts[0], len(p))
	s.accepts = s.accepts[1:]
	s.text.Write(p[:n])
	return n, nil
}

// TestNothingFollowsATornLine: a line whose rest the output did not accept to the end is the last.
func TestNothingFollowsATornLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &scripted{accepts: []int{3, 0, 0, 100, 100}}
		b := newAsyncWriter(out, lostJSON)
		fmt.Fprintln(b, "first")
		time.Sleep(logPause)
		synctest.Wait()
		fmt.Fprintln(b, "other")
		if err := b.Close(); !errors.Is(err, io.ErrShortWrite) || out.text.String() != "fir" {
			t.Errorf("%q, %v", out.text.String(), err)
		}
	})
}

// TestCloseOnFullDisk: the end does not wait for space.
func TestCloseOnFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAsyncWriter(&fullDisk{}, lostJSON)
		fmt.Fprintln(b, "line")
		time.Sleep(time.Minute)
		if err := b.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("closing: %v", err)
		}
	})
}
