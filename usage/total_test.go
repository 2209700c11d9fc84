package usage

import (
	"errors"
	"io"
	"sync"
	"testing"

	"keyward/authz"
)

// wantDays holds the first days of all keys to what is wanted.
func wantDays(t *testing.T, what string, tracker *Tracker, want ...Day) {
	t.Helper()
	got, err := tracker.Days()
	if err != nil || len(got) != maxDays {
		t.Fatalf("%s: %d days, %v", what, len(got), err)
	}
	for i, w := range want {
		if got[i] != w {
			t.Errorf("%s: day %d: %+v, want %+v", what, i, got[i], w)
		}
	}
}

// TestDaysOfAllKeys: the days of all keys are the sum of those of each: in memory, in a file
// that is compacted each time, after a restart, and when writes fail.
func TestDaysOfAllKeys(t *testing.T) {
	for _, file := range []string{"", tempFile(t)} {
		clock := newClock()
		tracker := quiet(file, func(cfg *Config) { cfg.Now = clock.now })
		step := func() {}
		if file != "" {
			fileOf(tracker).compactAbove = 1
			step = func() {
				flush(t, tracker)
				fileOf(tracker).baseline = 0
			}
		}
		for n := range 40 {
			clock.setDay(n)
			use(tracker, "k_a", "/", authz.OK)
			use(tracker, "k_b", "/", authz.OK)
			use(tracker, "k_b", "/", authz.InsufficientScope)
			usePrevious(tracker, "k_c", authz.OK)
			step()
		}
		wantDays(t, "flushed to "+file, tracker, Day{"2026-02-10", 3, 1, 1}, Day{"2026-02-09", 3, 1, 1})
		use(tracker, "k_a", "/", authz.OK)
		wantDays(t, "held beside "+file, tracker, Day{"2026-02-10", 4, 1, 1})
		if u := get(t, tracker, "k_a"); u.Total != 41 {
			t.Errorf("%q: %d uses of one", file, u.Total)
		}
		if file == "" {
			continue
		}
		failing := fileOf(tracker)
		failing.write = func(io.Writer, []byte) (int, error) { return 0, errors.New("full") }
		for range 3 {
			if tracker.flush() == nil {
				t.Fatal("the write did not fail")
			}
			wantDays(t, "not written", tracker, Day{"2026-02-10", 4, 1, 1})
		}
		failing.write = io.Writer.Write
		flush(t, tracker)
		wantDays(t, "written at last", tracker, Day{"2026-02-10", 4, 1, 1})
		again := quiet(file, func(cfg *Config) { cfg.Now = clock.now })
		wantDays(t, "after a restart", again, Day{"2026-02-10", 4, 1, 1}, Day{"2026-02-09", 3, 1, 1})
		if last, _, err := LastUses(file); err != nil || len(last) != 3 {
			t.Errorf("keys with a last use: %v, %v", last, err)
		}
	}
}

// TestDaysWhileFlushing: no use is missing and none counted twice, whenever it is asked.
func TestDaysWhileFlushing(t *testing.T) {
	const uses = 2000
	clock := newClock()
	tracker := quiet(tempFile(t), func(cfg *Config) { cfg.Now = clock.now })
	var all sync.WaitGroup
	for _, id := range []string{"k_a", "k_b"} {
		all.Go(func() {
			for range uses {
				use(tracker, id, "/", authz.OK)
			}
		})
	}
	all.Go(func() {
		before := uint64(0)
		for before < 2*uses {
			flush(t, tracker)
			days, err := tracker.Days()
			if err != nil || days[0].Allowed < before || days[0].Allowed > 2*uses {
				t.Errorf("%d after %d, %v", days[0].Allowed, before, err)
				return
			}
			before = days[0].Allowed
		}
	})
	all.Wait()
	wantDays(t, "at the end", tracker, Day{Date: "2026-01-02", Allowed: 2 * uses})
}
