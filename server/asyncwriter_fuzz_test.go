package server

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// faultyWriter is an output that blocks, fails, and accepts parts of what it is given,
// as its seed says, until it is calm.
type faultyWriter struct {
	random *rand.Rand
	calm   chan struct{} // closed once it accepts all
	mu     sync.Mutex
	text   bytes.Buffer
}

func (m *faultyWriter) Write(p []byte) (int, error) {
	n, err := len(p), error(nil)
	select {
	case <-m.calm:
	default:
		switch m.random.IntN(5) {
		case 0: // blocks for a while; to the loggers, forever
			select {
			case <-m.calm:
			case <-time.After(time.Duration(m.random.IntN(int(10 * time.Second)))):
			}
		case 1:
			n, err = 0, errors.New("output failed")
		case 2:
			n, err = m.random.IntN(len(p)+1), errors.New("output failed")
		case 3:
			n = m.random.IntN(len(p) + 1)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text.Write(p[:n])
	return n, err
}

// FuzzLogOutput: whatever the output does, no logger waits, each line arrives
// complete, once and in its logger's order or is counted as dropped, and each drop is reported.
func FuzzLogOutput(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint16(100), uint16(400))
		f.Add(seed, uint16(1000), uint16(20))
	}
	f.Fuzz(func(t *testing.T, seed uint64, lines, limit uint16) {
		synctest.Test(t, func(t *testing.T) {
			out := &faultyWriter{random: rand.New(rand.NewPCG(seed, 1)), calm: make(chan struct{})}
			b := newAsyncWriter(out, lostJSON)
			b.limit = int(limit)
			const loggers = 4
			var logging sync.WaitGroup
			for logger := range loggers {
				logging.Go(func() { logAll(t, b, logger, int(lines)%2000, rand.New(rand.NewPCG(seed, uint64(2+logger)))) })
			}
			logging.Wait()
			close(out.calm)
			time.Sleep(2 * logMaxRetry)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			arrived, reported := readLog(t, out.text.String(), loggers)
			if dropped := b.Dropped(); reported != dropped || arrived+dropped != int64(loggers*(int(lines)%2000)) {
				t.Errorf("%d lines arrived, %d were dropped, %d of them reported, of %d", arrived, dropped, reported, loggers*(int(lines)%2000))
			}
		})
	})
}

// logAll logs lines of different lengths at random moments. Time stands still while a goroutine can
// run: a logger that waits for the output finds that time has passed.
func logAll(t *testing.T, b *asyncWriter, logger, lines int, random *rand.Rand) {
	for n := range lines {
		before := time.Now()
		fmt.Fprintf(b, "line %d %d %s.\n", logger, n, strings.Repeat("x", random.IntN(60)))
		if took := time.Since(before); took > 0 {
			t.Errorf("a logger waited for %s", took)
		}
		if random.IntN(4) == 0 {
			time.Sleep(time.Duration(random.IntN(int(100 * time.Millisecond))))
		}
	}
}

// readLog counts the lines, and the drops that they report. A line that is torn,
// out of order or there twice fails the test.
func readLog(t *testing.T, text string, loggers int) (arrived, reported int64) {
	next := make([]int, loggers)
	for line := range strings.Lines(text) {
		var logger, n int
		var rest string
		var count int64
		switch {
		case strings.HasPrefix(line, "{"):
			if _, err := fmt.Sscanf(line, lostJSON, &count); err != nil {
				t.Fatalf("torn: %q: %v", line, err)
			}
			reported += count
		default:
			if _, err := fmt.Sscanf(line, "line %d %d %s", &logger, &n, &rest); err != nil || strings.Trim(rest, "x") != "." ||
				!strings.HasSuffix(line, ".\n") || n < next[logger] {
				t.Fatalf("torn, or not in order: %q: %v", line, err)
			}
			next[logger] = n + 1
			arrived++
		}
	}
	return arrived, reported
}
