package usage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keyward/authz"
	"keyward/store/journal/filesystem"
)

// TestReplacedDuringAFlush: another process replaces the file with a copy during
// a flush or a compaction. The flushed data is in the file that the path names
// afterwards, once.
func TestReplacedDuringAFlush(t *testing.T) {
	for name, compacting := range map[string]bool{"flush": false, "compaction": true} {
		t.Run(name, func(t *testing.T) {
			file := tempFile(t)
			tracker := quiet(file, nil)
			const keys = 2000
			for i := range keys {
				use(tracker, fmt.Sprint("k_", i), "/", authz.OK)
			}
			flush(t, tracker)
			mark := []byte(`{"replaced":true}` + "\n") // a bad line, which is skipped
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			replace := func() {
				err := errors.Join(os.WriteFile(file+".new", append(text, mark...), 0o600), os.Rename(file+".new", file))
				if err != nil {
					t.Fatal(err)
				}
			}
			at := 1
			if compacting {
				fileOf(tracker).compactAbove, fileOf(tracker).compactedPart, fileOf(tracker).baseline = 1, 1<<20, 0
				tracker.wake <- struct{}{} // flush within the compaction
				at = 2
			}
			writes := 0
			fileOf(tracker).write = func(w io.Writer, p []byte) (int, error) {
				writes++
				if writes == at {
					replace()
				} else if compacting && writes == 1 {
					if text, err = os.ReadFile(file); err != nil {
						t.Fatal(err)
					}
					text = append(text, p...) // the data of this write is in the copy
					use(tracker, "k_late", "/", authz.OK)
				}
				return w.Write(p)
			}
			use(tracker, "k_7", "/", authz.OK)
			flush(t, tracker)
			if last, _, err := LastUses(file); err != nil || len(last) < keys || writes <= at {
				t.Errorf("%d keys after %d writes, %v", len(last), writes, err)
			}
			if u, err := read(file, "k_7"); err != nil || u.Total != 2 {
				t.Errorf("%d uses, want 2, %v", u.Total, err)
			}
			if compacting {
				if u, err := read(file, "k_late"); err != nil || u.Total != 1 {
					t.Errorf("used while compacting: %d uses, want 1, %v", u.Total, err)
				}
			}
			if left, _ := filepath.Glob(file + ".*"); len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestLockIsALink: a lock file that is a link is refused at once, and nothing is
// created through it.
func TestLockIsALink(t *testing.T) {
	file := tempFile(t)
	elsewhere := filepath.Join(filepath.Dir(file), "elsewhere")
	if err := os.Symlink(elsewhere, file+".lock"); err != nil {
		t.Fatal(err)
	}
	tracker := quiet(file, nil)
	fileOf(tracker).lockTimeout = time.Hour
	use(tracker, "k_a", "/", authz.OK)
	if err := tracker.flush(); !errors.Is(err, filesystem.ErrBadLock) {
		t.Errorf("flush says %v", err)
	}
	if _, err := os.Lstat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link's target: %v", err)
	}
	if u := get(t, tracker, "k_a"); u.Total != 1 {
		t.Errorf("%d uses, want 1", u.Total)
	}
}

// TestRemovedAccountBeginsAgain: a removed file is created again, with what is in
// memory.
func TestRemovedAccountBeginsAgain(t *testing.T) {
	file := tempFile(t)
	tracker := quiet(file, nil)
	use(tracker, "k_a", "/", authz.OK)
	flush(t, tracker)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	use(tracker, "k_a", "/", authz.OK)
	flush(t, tracker)
	if u, err := read(file, "k_a"); err != nil || u.Total != 1 {
		t.Errorf("%d uses, want 1, %v", u.Total, err)
	}
}
