package usage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"testing"
	"time"

	"keyward/authz"
)

// lastUse is when the key was last used, by the tracker.
func lastUse(t *testing.T, tracker *Tracker, id string) time.Time {
	t.Helper()
	last, err := tracker.LastUse()
	if err != nil {
		t.Fatal(err)
	}
	return last(id)
}

// TestLastUse: of a key whose use is in memory, on its way to the file, in the file of
// this process or of another, and in a file that was compacted.
func TestLastUse(t *testing.T) {
	file := tempFile(t)
	clock := newClock()
	change := func(c *Config) { c.Now = clock.now }
	tracker, other := quiet(file, change), quiet(file, change)
	want := map[string]time.Time{}
	useAt := func(by *Tracker, id string) {
		use(by, id, "/", authz.OK)
		want[id] = time.UnixMilli(clock.at.Load()).UTC()
	}
	compare := func(what string) {
		t.Helper()
		for _, id := range []string{"k_a", "k_b", "k_c", "k_unused", "an id of more than 16 bytes"} {
			if got := lastUse(t, tracker, id); !got.Equal(want[id]) {
				t.Errorf("%s: %s was last used %v, want %v", what, id, got, want[id])
			}
			scan := quiet(file, change)
			scan.memory, scan.pending = tracker.memory, tracker.pending
			if got, plain := get(t, tracker, id), get(t, scan, id); !reflect.DeepEqual(got, plain) {
				t.Errorf("%s: %s by the index %+v, by the file %+v", what, id, got, plain)
			}
		}
	}
	compare("no file")
	useAt(tracker, "k_a")
	compare("in memory")
	fileOf(tracker).write = func(io.Writer, []byte) (int, error) { return 0, errors.New("the disk is full") }
	if tracker.flush() == nil {
		t.Fatal("written to a full disk")
	}
	fileOf(tracker).write = io.Writer.Write
	compare("on its way")
	flush(t, tracker)
	compare("in the file")
	useAt(other, "k_b")
	flush(t, other)
	compare("by another process")
	useAt(tracker, "k_a")
	compare("in the file and in memory")
	fileOf(other).compactAbove = 1
	useAt(other, "k_c")
	flush(t, other)
	flush(t, tracker)
	compare("compacted")
	appendLine := func(text string) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(text)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	appendLine("hello\n" + `{"id":"k_b","first":1}` + "\n" + `{"id":"k_b","fi`)
	compare("lines that cannot be read")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	clear(want)
	useAt(tracker, "k_a")
	flush(t, tracker)
	useAt(tracker, "k_b")
	compare("removed and begun again")
	if err := os.WriteFile(file, []byte("something else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tracker.LastUse(); !errors.Is(err, ErrWrongFile) {
		t.Errorf("a file of another kind: %v", err)
	}
	if _, err := tracker.Get("k_a"); !errors.Is(err, ErrWrongFile) {
		t.Errorf("a file of another kind: %v", err)
	}
}

// TestLastUseDuringFlush: a use is known at every moment of its way from memory to the
// file, also to a function that was returned before the flush.
func TestLastUseDuringFlush(t *testing.T) {
	tracker := quiet(tempFile(t), nil)
	last, err := tracker.LastUse()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		use(tracker, fmt.Sprint("k_", i), "/", authz.OK)
	}
	check := func() {
		t.Helper()
		for i := range 100 {
			if last(fmt.Sprint("k_", i)).IsZero() {
				t.Errorf("k_%d counts as never used", i)
			}
		}
	}
	check()
	fileOf(tracker).write = func(w io.Writer, text []byte) (int, error) { check(); return w.Write(text) }
	flush(t, tracker)
	check()
}

func BenchmarkLastUse(b *testing.B) {
	file := b.TempDir() + "/usage.jsonl"
	writer := quiet(file, func(c *Config) { c.MaxKeys = 200_000 })
	for i := range 100_000 {
		use(writer, fmt.Sprintf("k_%012d", i), "/", authz.OK)
	}
	if err := writer.flush(); err != nil {
		b.Fatal(err)
	}
	tracker := quiet(file, nil)
	start := time.Now()
	if _, err := tracker.LastUse(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "load-ms")
	for i := 0; b.Loop(); i++ {
		last, err := tracker.LastUse()
		if err != nil || last(fmt.Sprintf("k_%012d", i%100_000)).IsZero() {
			b.Fatal(err)
		}
	}
}
