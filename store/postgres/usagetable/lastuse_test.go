package usagetable

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
)

// clock is a clock that tests set.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func consoleWith(t testing.TB, cfg database.Config) (*Table, *clock) {
	c := &clock{}
	return New(Config{DB: open(t, cfg), Now: c.now}), c
}

// wantLast holds when keys were last used, by a read after the least time.
func wantLast(t *testing.T, what string, table *Table, c *clock, want map[string]time.Time) {
	t.Helper()
	c.advance(minRefresh)
	last, err := table.LastUse()
	if err != nil {
		t.Fatal(err)
	}
	for id, at := range want {
		if got := last(id); at.IsZero() && got != 0 || !at.IsZero() && got != at.UnixMicro() {
			t.Errorf("%s: %s was last used %v, want %v", what, id, time.UnixMicro(got).UTC(), at)
		}
	}
}

// TestLastUse: when keys were last used, by the replica that saw them last, as rows are
// written, committed late and folded.
func TestLastUse(t *testing.T) {
	cfg := server.Database(t)
	one, two := tableOf(t, cfg, "one"), tableOf(t, cfg, "two")
	console, c := consoleWith(t, cfg)
	want := map[string]time.Time{"k_a": {}, "k_b": {}, "": {}, "k_23456789012345": {}, "k_23456789012345x": {}}
	wantLast(t, "no rows", console, c, want)
	record(t, one, append(allowed("k_a", 1, day), allowed("k_23456789012345", 1, day)...)...)
	want["k_a"], want["k_23456789012345"] = day, day // and not the longer one
	wantLast(t, "one row", console, c, want)
	record(t, two, allowed("k_a", 1, day.Add(time.Hour))...)
	record(t, one, allowed("k_a", 1, day.Add(-time.Hour))...)
	record(t, one, allowed("k_b", 2, day)...)
	want["k_a"], want["k_b"] = day.Add(time.Hour), day.Add(time.Second)
	wantLast(t, "two rows", console, c, want)
	postgrestest.Exec(t, cfg, `INSERT INTO usage (key_id, replica, totals, days, last, at) VALUES ('k_late', 'three', '', '', 1000000, clock_timestamp() - interval '50 seconds')`)
	want["k_late"] = time.Unix(1, 0)
	wantLast(t, "a late commit", console, c, want)
	age(t, cfg, "two", 25*time.Hour)
	fold(t, console)
	wantLast(t, "folded", console, c, want)
	fresh, c := consoleWith(t, cfg)
	wantLast(t, "another console", fresh, c, want)
}

// TestLastUseIsIncremental: a read after the first has the new rows alone, but all of
// them where some may have escaped it.
func TestLastUseIsIncremental(t *testing.T) {
	cfg := server.Database(t)
	record(t, tableOf(t, cfg, "one"), allowed("k_a", 1, day)...)
	age(t, cfg, "one", time.Hour)
	console, c := consoleWith(t, cfg)
	wantLast(t, "first", console, c, map[string]time.Time{"k_a": day})
	for what, s := range map[string]struct {
		ago time.Duration // the last read
		all bool
	}{"a moment ago": {0, false}, "some hours ago": {readAll - time.Minute, false}, "so long ago that rows may be folded": {readAll, true}, "by a clock that is ahead": {-time.Minute, true}} {
		clear(console.last.keys)
		console.last.readAt = time.Now().Add(-s.ago)
		if s.ago > time.Hour {
			age(t, cfg, "one", s.ago)
		}
		want := map[string]time.Time{"k_a": {}}
		if s.all {
			want["k_a"] = day
		}
		wantLast(t, what, console, c, want)
		if s.ago > time.Hour {
			age(t, cfg, "one", -s.ago)
		}
	}
}

// TestLastUseIsPaced: lists that follow each other do not read each time, and while the
// database is down they do not wait for it each time.
func TestLastUseIsPaced(t *testing.T) {
	cfg := server.Database(t)
	console, c := consoleWith(t, cfg)
	wantLast(t, "first", console, c, map[string]time.Time{"k_a": {}})
	record(t, tableOf(t, cfg, "one"), allowed("k_a", 1, day)...)
	if last, err := console.LastUse(); err != nil || last("k_a") != 0 {
		t.Errorf("read again at once, %v", err)
	}
	wantLast(t, "later", console, c, map[string]time.Time{"k_a": day})
	server.Refuse(t, cfg, true)
	c.advance(minRefresh)
	_, errFirst := console.LastUse()
	server.Refuse(t, cfg, false)
	_, errNext := console.LastUse()
	if errFirst == nil || errNext == nil {
		t.Errorf("while it is down: %v, at once after that: %v", errFirst, errNext)
	}
	wantLast(t, "back", console, c, map[string]time.Time{"k_a": day})
}

// TestLastUseOfMillion measures what a console needs for a million keys that three
// replicas have used.
func TestLastUseOfMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	cfg := server.Database(t)
	const keys = 1_000_000
	line := `{"id":"k_000000000000","first":1,"last":1,"address":"192.0.2.1","results":{"ok":1},"outcomes":[[1,"GET","/posts/1",200,"ok"]]}`
	postgrestest.Exec(t, cfg, `INSERT INTO usage (key_id, replica, totals, days, last, at)
		SELECT 'k_' || lpad(i::text, 12, '0'), r, $1, '', i, clock_timestamp() - interval '1 hour' FROM generate_series(1, 1000000) i, unnest(ARRAY['one', 'two', 'three']) r`, line)
	postgrestest.Exec(t, cfg, `ANALYZE usage`)
	console, c := consoleWith(t, cfg)
	before := heap()
	start := time.Now()
	wantLast(t, "all", console, c, map[string]time.Time{"k_000000000007": time.UnixMicro(7)})
	all := time.Since(start)
	memory := heap() - before
	postgrestest.Exec(t, cfg, `UPDATE usage SET at = clock_timestamp() WHERE replica = 'one' AND last <= 10000`)
	start = time.Now()
	wantLast(t, "new", console, c, map[string]time.Time{"k_000000000007": time.UnixMicro(7)})
	t.Logf("%d keys: %v for all rows, %d bytes per key; %v for 10,000 new rows", keys, all.Round(time.Millisecond), memory/keys, time.Since(start).Round(time.Millisecond))
	if memory > 100<<20 || len(console.last.keys) != keys {
		t.Errorf("%d keys take %d bytes", len(console.last.keys), memory)
	}
}

// BenchmarkFlush measures a batch of a thousand keys whose rows are there.
func BenchmarkFlush(b *testing.B) {
	table := tableOf(b, server.Database(b), "one")
	var uses []use
	for i := range 1000 {
		uses = append(uses, allowed(fmt.Sprintf("k_%012d", i), 1, day)...)
	}
	for b.Loop() {
		if err := table.Flush(batchOf(b, uses...)); err != nil {
			b.Fatal(err)
		}
	}
}

// heap returns the size of the objects that are in use.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
