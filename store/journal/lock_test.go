package journal

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"keyward/store/journal/filesystem"
)

// TestBadLocks: none hangs, none is written, and no file comes into being
// through a link.
func TestBadLocks(t *testing.T) {
	for name, plant := range map[string]func(lock, other string) error{
		"symbolic link": func(lock, other string) error {
			return errors.Join(os.WriteFile(other, []byte("other\n"), 0o600), os.Symlink(other, lock))
		},
		"dangling link":  func(lock, other string) error { return os.Symlink(other, lock) },
		"link to itself": func(lock, _ string) error { return os.Symlink(lock, lock) },
		"hard link": func(lock, other string) error {
			return errors.Join(os.WriteFile(other, []byte("other\n"), 0o600), os.Link(other, lock))
		},
		"named pipe": func(lock, _ string) error { return syscall.Mkfifo(lock, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "old\n")
			other := filepath.Join(filepath.Dir(f.path), "other")
			if err := plant(f.path+lockSuffix, other); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(other)
			if err := f.w.Update(context.Background(), appendLine("mine\n")); !errors.Is(err, filesystem.ErrBadLock) {
				t.Errorf("update says %v", err)
			}
			if after, err := os.ReadFile(other); string(after) != string(before) || errors.Is(err, fs.ErrNotExist) != (before == nil) {
				t.Errorf("the other file was %q and is %q, %v", before, after, err)
			}
			if f.read() != "old\n" {
				t.Error("something was written")
			}
		})
	}
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may give files away")
	}
}

// TestLockOwner: the journal's owner and root may own the lock, others not.
func TestLockOwner(t *testing.T) {
	asRoot(t)
	const journalOwner, otherUser = 4711, 4712
	for owner, trusted := range map[int]bool{journalOwner: true, 0: true, otherUser: false} {
		f := newFixture(t, "old\n")
		f.write(f.path+lockSuffix, "")
		if err := errors.Join(os.Chown(f.path, journalOwner, journalOwner), os.Chown(f.path+lockSuffix, owner, owner)); err != nil {
			t.Fatal(err)
		}
		if err := f.w.Update(context.Background(), appendLine("mine\n")); (err == nil) != trusted || err != nil && !errors.Is(err, filesystem.ErrBadLock) {
			t.Errorf("a lock of user %d: %v", owner, err)
		}
	}
}

// TestNewLockResembles: it has the mode of its file, and its owner.
func TestNewLockResembles(t *testing.T) {
	f := newFixture(t, "old\n")
	if err := os.Chmod(f.path, 0o640); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(f.path, 4711, 4713); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.w.Update(context.Background(), appendLine("mine\n")); err != nil {
		t.Fatal(err)
	}
	guarded, err := os.Stat(f.path)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.Stat(f.path + lockSuffix)
	if err != nil {
		t.Fatal(err)
	}
	of, is := guarded.Sys().(*syscall.Stat_t), lock.Sys().(*syscall.Stat_t)
	if is.Mode != of.Mode || is.Uid != of.Uid || is.Gid != of.Gid {
		t.Errorf("mode %o of %d:%d, want %o of %d:%d", is.Mode, is.Uid, is.Gid, of.Mode, of.Uid, of.Gid)
	}
}

// TestLockRemoved: the transaction begins again, with the lock that there is
// then. What it did is there once.
func TestLockRemoved(t *testing.T) {
	for name, change := range map[string]func(*Transaction) error{"append": appendLine("mine\n"), "rewrite": upper} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "old\n")
			calls := 0
			err := f.w.Update(context.Background(), func(tx *Transaction) error {
				if calls++; calls == 1 {
					if err := os.Remove(f.path + lockSuffix); err != nil {
						t.Fatal(err)
					}
				}
				return change(tx)
			})
			if err != nil || calls != 2 {
				t.Errorf("%v after %d calls", err, calls)
			}
			f.want(map[string]string{"append": "old\nmine\n", "rewrite": "OLD\n"}[name])
			if had, err := hadContent(filesystem.OS(), f.path+lockSuffix); !had || err != nil {
				t.Errorf("the new lock file remembers %v, %v", had, err)
			}
		})
	}
}

// TestWriterWithAnotherLock: the lock was removed, and another writer wrote
// while ours was under way, on a system that cannot keep them apart. Both lines
// are there.
func TestWriterWithAnotherLock(t *testing.T) {
	for name, change := range map[string]func(*Transaction) error{
		"append": appendLine("mine\n"),
		"rewrite": func(tx *Transaction) error {
			if err := upper(tx); err != nil {
				return err
			}
			return tx.Append(line("mine\n"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "OLD\n")
			f.fs.noGuard = true
			calls := 0
			err := f.w.Update(context.Background(), func(tx *Transaction) error {
				if calls++; calls == 1 {
					if err := os.Remove(f.path + lockSuffix); err != nil {
						t.Fatal(err)
					}
					other := &Writer{Path: f.path, FS: &hookedFS{FS: filesystem.OS(), noGuard: true}}
					if err := other.Update(context.Background(), appendLine("OTHER\n")); err != nil {
						t.Fatal(err)
					}
				}
				return change(tx)
			})
			if err != nil || calls != 2 {
				t.Errorf("%v after %d calls", err, calls)
			}
			text := f.read()
			if name == "append" { // ours cannot be taken back, and is there twice
				f.want("OLD\nOTHER\nmine\nmine\n")
			} else if text != "OLD\nOTHER\nmine\n" {
				t.Errorf("%q", text)
			}
		})
	}
}

// TestRemovedLockKeepsWritersApart: another writer, which has a lock file of
// its own, waits until ours is done.
func TestRemovedLockKeepsWritersApart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("locks of open files are Linux's")
	}
	f := newFixture(t, "old\n")
	chunk := strings.Repeat("x", writeChunk)
	other := make(chan error, 1)
	calls := 0
	err := f.w.Update(context.Background(), func(tx *Transaction) error {
		return tx.Append(func(w io.Writer) error {
			_, err := io.WriteString(w, chunk)
			if calls++; calls > 1 {
				_, err2 := io.WriteString(w, "end\n")
				return errors.Join(err, err2)
			}
			if err := os.Remove(f.path + lockSuffix); err != nil {
				t.Fatal(err)
			}
			go func() { other <- (&Writer{Path: f.path}).Update(context.Background(), appendLine("other\n")) }()
			select {
			case err := <-other:
				t.Fatalf("two writers at a time: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
			_, err2 := io.WriteString(w, "end\n")
			return errors.Join(err, err2)
		})
	})
	if err := errors.Join(err, <-other); err != nil {
		t.Fatal(err)
	}
	mine := chunk + "end\n" // whole, before the other line or behind it
	if text := f.read(); text != "old\nother\n"+mine && text != "old\n"+mine+"other\n" {
		t.Errorf("%d bytes, want %d", len(text), len("old\nother\n"+mine))
	}
}

// TestLockWaits: without a bound until it is released, with one for so long.
func TestLockWaits(t *testing.T) {
	f := newFixture(t, "old\n")
	tx, err := f.w.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	hasty := &Writer{Path: f.path, Wait: 30 * time.Millisecond}
	if _, err := hasty.Begin(context.Background()); !errors.Is(err, filesystem.ErrBusy) {
		t.Errorf("a lock that is held: %v", err)
	}
	var released atomic.Bool
	done := make(chan error, 1)
	go func() {
		done <- (&Writer{Path: f.path}).Update(context.Background(), func(tx *Transaction) error {
			if !released.Load() {
				t.Error("two writers at a time")
			}
			return tx.Append(line("other\n"))
		})
	}()
	if err := tx.Append(line("mine\n")); err != nil {
		t.Error(err)
	}
	released.Store(true)
	tx.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	f.want("old\nmine\nother\n")
}
