package usage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keyward/authz"
)

// TestTwoTrackers: several processes record in one file, which one of them
// compacts all the time, and nothing is lost or counted twice.
func TestTwoTrackers(t *testing.T) {
	file := tempFile(t)
	const each = 400
	var all sync.WaitGroup
	for n := range 3 {
		all.Go(func() {
			tracker := newTracker(Config{File: file, Flush: time.Millisecond})
			if n == 0 {
				fileOf(tracker).compactAbove, fileOf(tracker).compactedPart = 1000, 1000
			}
			go tracker.run()
			for i := range each {
				use(tracker, fmt.Sprint("k_", i%10), "/", authz.OK)
				if i%20 == 0 {
					if _, err := tracker.Get("k_1"); err != nil {
						t.Error(err)
					}
				}
			}
			if err := tracker.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 10 {
		if u, err := read(file, fmt.Sprint("k_", i)); err != nil || u.Total != 3*each/10 {
			t.Errorf("k_%d: %d, %v", i, u.Total, err)
		}
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// TestDiskFull: checks continue. Data that could not be written is kept, and is
// written once when there is space again.
func TestDiskFull(t *testing.T) {
	file := tempFile(t)
	var log bytes.Buffer
	clock := newClock()
	tracker := quiet(file, func(cfg *Config) {
		cfg.Log, cfg.Now = slog.New(slog.NewTextHandler(&log, nil)), clock.now
	})
	full := errors.New("no space left on device")
	total := uint64(0)
	for free := 0; free < 2000; free += 97 {
		for i := range 3 {
			use(tracker, fmt.Sprint("k_", i), "/", authz.OK)
		}
		total++
		fileOf(tracker).write = func(f io.Writer, p []byte) (int, error) {
			n, err := f.Write(p[:min(free, len(p))])
			return n, errors.Join(err, full)
		}
		err := tracker.flush()
		if !errors.Is(err, full) {
			t.Fatalf("flush says %v", err)
		}
		tracker.logStatus(err)
		for i := range 3 {
			if u := get(t, tracker, fmt.Sprint("k_", i)); u.Total != total {
				t.Fatalf("room for %d bytes: k_%d was used %d times, not %d", free, i, u.Total, total)
			}
		}
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("told %d times within a minute: %s", n, log.String())
	}
	clock.at.Add(60_000)
	tracker.logStatus(full)
	fileOf(tracker).write = io.Writer.Write
	err := tracker.flush()
	tracker.logStatus(err)
	if err != nil || strings.Count(log.String(), "level=ERROR") != 2 || !strings.Contains(log.String(), "written again") {
		t.Errorf("%v, %s", err, log.String())
	}
	for i := range 3 {
		if u, err := read(file, fmt.Sprint("k_", i)); err != nil || u.Total != total {
			t.Errorf("k_%d: %d, %v; want %d", i, u.Total, err, total)
		}
	}
	if len(tracker.pending) != 0 {
		t.Errorf("%d bytes pending", len(tracker.pending))
	}
}

func TestFilesThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "keys.jsonl")
	text := `{"keyward":"keys","version":1,"hash":"sha256"}` + "\n{}\n"
	torn := filepath.Join(dir, "torn")
	newer := filepath.Join(dir, "newer")
	for path, text := range map[string]string{foreign: text, torn: "some text without an end", newer: `{"keyward":"usage","version":2,"since":"2026-01-01T00:00:00Z"}` + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{foreign, torn, newer, pipe, filepath.Join(dir, "none", "usage.jsonl"), dir} {
		before := contentOf(file)
		tracker := quiet(file, nil)
		fileOf(tracker).compactAbove = 1
		use(tracker, "k_a", "/", authz.OK)
		err := tracker.flush()
		if err == nil || file == pipe && !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %v", file, err)
		}
		if after := contentOf(file); !bytes.Equal(before, after) {
			t.Errorf("%s was changed", file)
		}
	}
	for _, file := range []string{foreign, torn, newer} {
		if _, err := read(file, "k_a"); !errors.Is(err, ErrWrongFile) {
			t.Errorf("%s: %v", file, err)
		}
		if _, _, err := LastUses(file); !errors.Is(err, ErrWrongFile) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func contentOf(file string) []byte {
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	text, _ := os.ReadFile(file)
	return text
}

// TestHeals: the directory is created while the tracker runs.
func TestHeals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	tracker := quiet(filepath.Join(dir, "usage.jsonl"), nil)
	use(tracker, "k_a", "/", authz.OK)
	if tracker.flush() == nil {
		t.Fatal("written to nowhere")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	flush(t, tracker)
	if u, err := read(filepath.Join(dir, "usage.jsonl"), "k_a"); err != nil || u.Total != 1 {
		t.Errorf("%+v %v", u, err)
	}
}

// TestTornTail: a writer died during its write, at any byte. Complete lines
// count. The next writer cuts off the rest, and joins no line to it.
func TestTornTail(t *testing.T) {
	file := tempFile(t)
	first := quiet(file, nil)
	use(first, "k_a", "/1", authz.OK)
	flush(t, first)
	use(first, "k_a", "/2", authz.OK)
	flush(t, first)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(text) {
		torn := tempFile(t)
		if err := os.WriteFile(torn, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		lines := text[:bytes.LastIndexByte(text[:cut], '\n')+1]
		complete := uint64(bytes.Count(lines, []byte(`"first":`)))
		if u, err := read(torn, "k_a"); err != nil || u.Total != complete {
			t.Fatalf("cut at %d: %d, %v", cut, u.Total, err)
		}
		next := quiet(torn, nil)
		use(next, "k_a", "/3", authz.OK)
		flush(t, next)
		if u, err := read(torn, "k_a"); err != nil || u.Total != complete+1 {
			t.Fatalf("cut at %d and written on: %d, %v", cut, u.Total, err)
		}
	}
}

func TestBadLinesAreSteppedOver(t *testing.T) {
	file := tempFile(t)
	tracker := quiet(file, nil)
	use(tracker, "k_a", "/1", authz.OK)
	flush(t, tracker)
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("hello\n" + strings.Repeat("x", 3*maxLine) + "\n\x00\x00\n" + `{"id":"k_a","first":1}` + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	fileOf(tracker).compactAbove = 1
	for range 2 {
		use(tracker, "k_a", "/2", authz.OK)
		flush(t, tracker)
	}
	if u, err := read(file, "k_a"); err != nil || u.Total != 3 {
		t.Errorf("%+v %v", u, err)
	}
}

// TestCloseDoesNotHang: another process holds the lock and does not release it.
func TestCloseDoesNotHang(t *testing.T) {
	file := tempFile(t)
	a, err := openUsageFile(file, time.Second, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	tracker := newTracker(Config{File: file, Flush: time.Hour})
	fileOf(tracker).lockTimeout = 50 * time.Millisecond
	go tracker.run()
	use(tracker, "k_a", "/", authz.OK)
	if err := tracker.Close(); err != nil {
		t.Error(err)
	}
	if u := get(t, tracker, "k_a"); u.Total != 1 {
		t.Errorf("%+v", u)
	}
}
