package usage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz"
)

// TestBoundedMemory: at most MaxKeys keys; the least recently used are evicted
// first.
func TestBoundedMemory(t *testing.T) {
	clock := newClock()
	tracker := quiet("", func(cfg *Config) { cfg.MaxKeys, cfg.Now = 20, clock.now })
	for i := range 20 {
		use(tracker, fmt.Sprint("k_", i), "/", authz.OK)
	}
	clock.at.Add(promoteInterval / 1000)
	use(tracker, "k_0", "/", authz.OK)
	use(tracker, "k_new", "/", authz.OK) // is used once, and evicts none
	if u := get(t, tracker, "k_new"); u.Total != 0 {
		t.Errorf("a key that came once has taken another's place: %+v", u)
	}
	use(tracker, "k_new", "/", authz.OK)
	for id, want := range map[string]uint64{"k_0": 2, "k_1": 0, "k_2": 1, "k_new": 1} {
		if u := get(t, tracker, id); u.Total != want {
			t.Errorf("%s: %d, want %d", id, u.Total, want)
		}
	}
	tracker = quiet("", func(cfg *Config) { cfg.MaxKeys = 10_000 })
	for i := range 100_000 {
		use(tracker, fmt.Sprint("k_", i), "/", authz.OK)
	}
	entries := 0
	for i := range tracker.memory.shards {
		s := &tracker.memory.shards[i]
		entries += len(s.entries)
		if s.unflushed != len(s.entries) {
			t.Errorf("%d held of %d", s.unflushed, len(s.entries))
		}
	}
	if entries > 10_000 || entries < 9_000 {
		t.Errorf("%d entries", entries)
	}
}

// TestClockGoesBack: a key used after the clock went back is not evicted first.
func TestClockGoesBack(t *testing.T) {
	clock := newClock()
	tracker := quiet("", func(cfg *Config) { cfg.MaxKeys, cfg.Now = 2, clock.now })
	use(tracker, "k_first", "/", authz.OK)
	use(tracker, "k_second", "/", authz.OK)
	clock.at.Add(-5 * time.Hour.Milliseconds())
	use(tracker, "k_first", "/", authz.OK)
	use(tracker, "k_new", "/", authz.OK)
	use(tracker, "k_new", "/", authz.OK)
	for id, want := range map[string]uint64{"k_first": 2, "k_second": 0, "k_new": 1} {
		if u := get(t, tracker, id); u.Total != want {
			t.Errorf("%s: %d, want %d", id, u.Total, want)
		}
	}
}

// TestBoundedWithAFile: with a file, more keys than MaxKeys are flushed in time.
// While the file cannot be written, memory stays bounded and the loss is logged.
// Unused keys are dropped from memory.
func TestBoundedWithAFile(t *testing.T) {
	file := tempFile(t)
	var log bytes.Buffer
	tracker := quiet(file, func(cfg *Config) {
		cfg.MaxKeys, cfg.Log = 1000, slog.New(slog.NewTextHandler(&log, nil))
	})
	full := errors.New("full")
	fileOf(tracker).write = func(io.Writer, []byte) (int, error) { return 0, full }
	entries := func() (n int) {
		for i := range tracker.memory.shards {
			n += len(tracker.memory.shards[i].entries)
		}
		return n
	}
	for round := range 5 {
		for i := range 2000 {
			use(tracker, fmt.Sprint("k_", round, i), "/", authz.OK)
		}
		if err := tracker.flush(); !errors.Is(err, full) {
			t.Fatal(err)
		}
		if n := entries(); n > 1000 || len(tracker.pending) > 2*chunk {
			t.Fatalf("%d entries, %d bytes pending", n, len(tracker.pending))
		}
	}
	if !strings.Contains(log.String(), "usage dropped: max_keys exceeded") {
		t.Errorf("logged: %s", log.String())
	}
	fileOf(tracker).write = io.Writer.Write
	flush(t, tracker)
	if n := entries(); n == 0 {
		t.Error("buffers are not kept for the next use")
	}
	flush(t, tracker)
	if n := entries(); n != 0 {
		t.Errorf("%d entries of keys that are no longer used", n)
	}
}

func TestFlushesByItself(t *testing.T) {
	file := tempFile(t)
	wait := func(id string, want uint64) {
		t.Helper()
		for until := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
			u, err := read(file, id)
			if err == nil && u.Total == want {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("%s: %d, %v", id, u.Total, err)
			}
		}
	}
	ticking := start(t, Config{File: file, Flush: time.Millisecond})
	use(ticking, "k_tick", "/", authz.OK)
	wait("k_tick", 1)
	small := start(t, Config{File: file, Flush: time.Hour, MaxKeys: 10})
	for i := range 5 {
		use(small, fmt.Sprint("k_", i), "/", authz.OK)
	}
	wait("k_0", 1)
}

func TestRaces(t *testing.T) {
	file := tempFile(t)
	tracker := New(Config{File: file, Flush: 2 * time.Millisecond, MaxKeys: 64})
	const each = 2000
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range each {
				use(tracker, fmt.Sprint("k_", i%16), "/some/path", authz.OK)
				if i%200 == 0 {
					if _, err := tracker.Get("k_3"); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if err := tracker.Close(); err != nil {
		t.Fatal(err)
	}
	total := uint64(0)
	for i := range 16 {
		u, err := read(file, fmt.Sprint("k_", i))
		if err != nil {
			t.Fatal(err)
		}
		total += u.Total
	}
	if total != 4*each {
		t.Errorf("%d of %d uses", total, 4*each)
	}
	use(tracker, "k_after", "/", authz.OK)
	if err := tracker.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}
