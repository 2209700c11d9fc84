package usage

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"keyward/authz"
)

// usePrevious is a use by a secret that a rotation replaced.
func usePrevious(t *Tracker, id string, reason authz.Reason) {
	p := authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: id, PreviousSecret: true}
	t.Observe(&authz.Request{Method: "GET", Target: "/", Peer: "192.0.2.1"}, &authz.Decision{Reason: reason, Principal: &p, At: t.cfg.Now()})
}

// setDay sets the clock to noon on a day, counted from the clock's first.
func (c *clock) setDay(n int) {
	c.at.Store(time.Date(2026, 1, 2+n, 12, 0, 0, 0, time.UTC).UnixMilli())
}

// TestDays: what was allowed and denied on each day, in memory and in a file that
// is compacted each time alike.
func TestDays(t *testing.T) {
	for _, file := range []string{"", tempFile(t)} {
		clock := newClock()
		tracker := quiet(file, func(cfg *Config) { cfg.Now = clock.now })
		if file != "" {
			fileOf(tracker).compactAbove = 1
		}
		for n := range 40 {
			clock.setDay(n)
			for range n + 1 {
				use(tracker, "k_a", "/", authz.OK)
			}
			use(tracker, "k_a", "/", authz.InsufficientScope)
			if file != "" {
				flush(t, tracker)
				fileOf(tracker).baseline = 0
			}
		}
		u := get(t, tracker, "k_a")
		if len(u.Days) != 30 || u.Days[0] != (Day{"2026-02-10", 40, 1, 0}) || u.Days[29] != (Day{"2026-01-12", 11, 1, 0}) {
			t.Errorf("file %q: %+v", file, u.Days)
		}
		if u.Total != 40*41/2+40 {
			t.Errorf("file %q: %d uses", file, u.Total)
		}
		clock.setDay(50)
		if u = get(t, tracker, "k_a"); u.Days[0] != (Day{Date: "2026-02-21"}) || u.Days[11] != (Day{"2026-02-10", 40, 1, 0}) || u.Days[29].Allowed != 22 {
			t.Errorf("file %q: after ten days without a use: %+v", file, u.Days)
		}
		if u = get(t, tracker, "k_none"); len(u.Days) != 30 || u.Days[0] != (Day{Date: "2026-02-21"}) {
			t.Errorf("file %q: never used: %+v", file, u.Days)
		}
	}
}

// TestDaysInAnyOrder: checks that began before midnight end after it, and a clock
// may be wrong for a while.
func TestDaysInAnyOrder(t *testing.T) {
	clock := newClock()
	tracker := quiet("", func(cfg *Config) { cfg.Now = clock.now })
	for _, n := range []int{20_000, 5, 4, 5, 3, 4, 5} {
		clock.setDay(n)
		use(tracker, "k_a", "/", authz.OK)
	}
	var got []string
	for _, d := range get(t, tracker, "k_a").Days {
		if d.Allowed > 0 {
			got = append(got, fmt.Sprint(d.Date, " ", d.Allowed))
		}
	}
	if want := []string{"2026-01-07 3", "2026-01-06 2", "2026-01-05 1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestBoundedDays(t *testing.T) {
	var days []day
	for _, number := range []int64{100, 7, 50, 7, 101, 3, 102} {
		days = addDay(days, day{number: number, allowed: 1}, 4)
	}
	if want := []day{{50, 1, 0, 0}, {100, 1, 0, 0}, {101, 1, 0, 0}, {102, 1, 0, 0}}; !reflect.DeepEqual(days, want) {
		t.Errorf("%v, want %v", days, want)
	}
	var c calendar
	for n := range int64(1000) {
		c.count(&event{at: n % 700 * dayMicros, reason: authz.OK})
		if got := c.daily(); len(got.days) > maxDays {
			t.Fatalf("%d days", len(got.days))
		}
	}
}

// TestPreviousSecret: the record shows whether a rotated key's previous secret is
// still in use, after its grace too.
func TestPreviousSecret(t *testing.T) {
	for _, file := range []string{"", tempFile(t)} {
		clock := newClock()
		tracker := quiet(file, func(cfg *Config) { cfg.Now = clock.now })
		use(tracker, "k_a", "/", authz.OK)
		if u := get(t, tracker, "k_a"); u.Previous != (PreviousSecret{}) {
			t.Errorf("file %q: not rotated: %+v", file, u.Previous)
		}
		usePrevious(tracker, "k_a", authz.OK)
		if file != "" {
			flush(t, tracker)
		}
		clock.setDay(1)
		usePrevious(tracker, "k_a", authz.RevokedKey)
		last := time.UnixMilli(clock.at.Load()).UTC()
		use(tracker, "k_a", "/", authz.OK)
		u := get(t, tracker, "k_a")
		if u.Previous != (PreviousSecret{Uses: 2, Last: last}) {
			t.Errorf("file %q: %+v, want 2 until %v", file, u.Previous, last)
		}
		if u.Days[0] != (Day{"2026-01-03", 1, 1, 1}) || u.Days[1] != (Day{"2026-01-02", 2, 0, 1}) {
			t.Errorf("file %q: %+v", file, u.Days[:2])
		}
		clock.setDay(60)
		if u = get(t, tracker, "k_a"); u.Previous != (PreviousSecret{Last: last}) {
			t.Errorf("file %q: two months later: %+v", file, u.Previous)
		}
	}
}
