package server

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is an output that takes nothing until it is released.
type stuck struct {
	release chan struct{}
	mu      sync.Mutex
	text    bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.release
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func TestLinesAreWrittenInOrderAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{release: make(chan struct{})}
		close(out.release)
		b := newLogBuffer(out, "")
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

// TestStuckOutput: who logs does not wait, memory is bounded, and the loss is told.
func TestStuckOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{release: make(chan struct{})}
		b := newLogBuffer(out, lostJSON)
		line := strings.Repeat("x", 1023)
		for range 3 {
			for range logMost / 1024 {
				fmt.Fprintln(b, line)
			}
			time.Sleep(time.Second)
		}
		if b.Close() == nil {
			t.Error("Close waited for what will not end")
		}
		close(out.release)
		synctest.Wait()
		text := out.text.String()
		if kept := strings.Count(text, line); kept != 2*logMost/1024 || !strings.Contains(text, fmt.Sprintf(`"count":%d}`, logMost/1024)) {
			t.Errorf("%d lines kept, ends with %q", kept, text[len(text)-100:])
		}
	})
}
