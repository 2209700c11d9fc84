package usage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"keyward/authz"
)

// TestCompact: the same usage, with one line of each form per key, in a file of the same mode,
// for any number of parts; uses in the meantime are not lost.
func TestCompact(t *testing.T) {
	for _, part := range []int64{1 << 30, 5000} {
		file := tempFile(t)
		clock := newClock()
		tracker := quiet(file, func(cfg *Config) { cfg.Now = clock.now })
		for round := range 30 {
			for i := range 100 {
				use(tracker, fmt.Sprint("k_", i), fmt.Sprint("/", round), authz.OK)
			}
			flush(t, tracker)
		}
		if err := os.Chmod(file, 0o640); err != nil {
			t.Fatal(err)
		}
		before, err := read(file, "k_7")
		if err != nil {
			t.Fatal(err)
		}
		_, since, _ := LastUses(file)
		use(tracker, "k_one", "/", authz.OK)
		flush(t, tracker)
		fileOf(tracker).compactAbove, fileOf(tracker).compactedPart, fileOf(tracker).baseline = 1, part, 0
		tracker.wake <- struct{}{} // flush within the compaction
		wrote := 0
		fileOf(tracker).write = func(f io.Writer, p []byte) (int, error) {
			if wrote++; wrote == 1 {
				use(tracker, "k_late", "/", authz.OK)
			}
			return f.Write(p)
		}
		use(tracker, "k_one", "/", authz.OK)
		flush(t, tracker)
		if late, err := read(file, "k_late"); wrote != 2 || err != nil || late.Total != 1 {
			t.Errorf("%d writes; used while compacting: %+v %v", wrote, late, err)
		}
		text, err := os.ReadFile(file)
		if err != nil || bytes.Count(text, []byte("\n")) != 207 {
			t.Fatalf("%d lines, %v", bytes.Count(text, []byte("\n")), err)
		}
		after, err := read(file, "k_7")
		if err != nil || !reflect.DeepEqual(before, after) || after.Total != 30 {
			t.Errorf("before %+v\nafter %+v %v", before, after, err)
		}
		if last, now, err := LastUses(file); err != nil || len(last) != 102 || !now.Equal(since) {
			t.Errorf("%d keys since %v, %v", len(last), now, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if left, _ := filepath.Glob(file + ".*"); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
		flush(t, tracker)
		if fileOf(tracker).baseline < 1000 {
			t.Errorf("baseline %d", fileOf(tracker).baseline)
		}
	}
}

// TestCompactionFails: the file stays as it was and is appended to. Files that an
// earlier compaction left do not hinder the next one, and links are not followed.
func TestCompactionFails(t *testing.T) {
	for name, spoil := range map[string]func(file string, tracker *Tracker) error{
		"no temporary file": func(file string, _ *Tracker) error { return os.MkdirAll(file+".tmp/full", 0o700) },
		"no part":           func(file string, _ *Tracker) error { return os.MkdirAll(file+".part1/full", 0o700) },
		"disk full within": func(_ string, tracker *Tracker) error {
			tracker.wake <- struct{}{}
			writes := 0
			fileOf(tracker).write = func(f io.Writer, p []byte) (int, error) {
				if writes++; writes == 1 {
					use(tracker, "k_1", "/", authz.OK)
					return f.Write(p)
				}
				fileOf(tracker).write = io.Writer.Write
				return 0, errors.New("full")
			}
			return nil
		},
		"closing": func(_ string, tracker *Tracker) error { close(tracker.stop); return nil },
		"closing within": func(_ string, tracker *Tracker) error {
			tracker.wake <- struct{}{}
			writes := 0
			fileOf(tracker).write = func(f io.Writer, p []byte) (int, error) {
				if writes++; writes == 1 {
					use(tracker, "k_1", "/", authz.OK)
				} else if writes == 2 {
					close(tracker.stop)
				}
				return f.Write(p)
			}
			return nil
		},
		"leftovers": func(file string, _ *Tracker) error {
			return errors.Join(os.WriteFile(file+".part0", []byte(goodLine+"\n"), 0o600), os.Symlink(file, file+".tmp"))
		},
	} {
		file := tempFile(t)
		tracker := quiet(file, nil)
		for i := range 3000 {
			use(tracker, fmt.Sprint("k_", i), "/", authz.OK)
		}
		flush(t, tracker)
		fileOf(tracker).compactAbove, fileOf(tracker).compactedPart, fileOf(tracker).baseline = 1, 50_000, 0
		if err := spoil(file, tracker); err != nil {
			t.Fatal(err)
		}
		use(tracker, "k_1", "/", authz.OK)
		total := uint64(2)
		err := tracker.flush()
		if strings.HasPrefix(name, "closing") || name == "leftovers" {
			if compacted := fileOf(tracker).baseline > 0; err != nil || compacted != (name == "leftovers") {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "compacting") {
			t.Errorf("%s: %v", name, err)
		}
		if strings.HasSuffix(name, "within") {
			total++
		}
		use(tracker, "k_1", "/", authz.OK)
		flush(t, tracker) // which does not try again at once
		if u, err := read(file, "k_1"); err != nil || u.Total != total+1 {
			t.Errorf("%s: %d, %v", name, u.Total, err)
		}
		if last, _, err := LastUses(file); err != nil || len(last) != 3000 {
			t.Errorf("%s: %d keys, %v", name, len(last), err)
		}
		if left, _ := filepath.Glob(file + ".part[02-9]"); len(left) != 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

// TestCompactsWhenDoubled: a flush compacts only if the file has doubled.
func TestCompactsWhenDoubled(t *testing.T) {
	file := tempFile(t)
	tracker := quiet(file, nil)
	fileOf(tracker).compactAbove = 1
	largest := int64(0)
	shrunk := 0
	last := int64(0)
	for range 200 {
		for i := range 10 {
			use(tracker, fmt.Sprint("k_", i), "/", authz.OK)
		}
		flush(t, tracker)
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() < last {
			shrunk++
		}
		last, largest = info.Size(), max(largest, info.Size())
	}
	if shrunk < 5 || shrunk > 100 || largest > 30_000 {
		t.Errorf("compacted %d times in 200 flushes, largest %d bytes", shrunk, largest)
	}
	if u, err := read(file, "k_3"); err != nil || u.Total != 200 {
		t.Errorf("%+v %v", u, err)
	}
}
