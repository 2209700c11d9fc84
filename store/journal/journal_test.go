package journal

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/store/journal/filesystem"
)

// TestAppendToReplacedFile: whenever the file is replaced, the line is in the
// file that the path names when Update returns, and in no other.
func TestAppendToReplacedFile(t *testing.T) {
	for name, plan := range map[string]func(f *fixture, replace func()){
		"before the append": func(*fixture, func()) {},
		"after the sync":    func(f *fixture, replace func()) { f.fs.afterSync = replace },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "old\n")
			if err := os.Mkdir(f.path+"-backup", 0o700); err != nil {
				t.Fatal(err)
			}
			backup := filepath.Join(f.path+"-backup", "old")
			replace := func() {
				if err := os.Link(f.path, backup); err != nil {
					t.Fatal(err)
				}
				f.replace("new\n")
			}
			plan(f, replace)
			calls := 0
			err := f.w.Update(context.Background(), func(tx *Transaction) error {
				if calls++; calls == 1 && f.fs.afterSync == nil {
					replace()
				}
				return tx.Append(line("mine\n"))
			})
			if err != nil || calls != 2 {
				t.Errorf("%v after %d calls", err, calls)
			}
			f.want("new\nmine\n")
			if text, _ := os.ReadFile(backup); string(text) != "old\n" {
				t.Errorf("the replaced file has become %q", text)
			}
		})
	}
}

// TestNothingToWrite: what was found out of a file that was replaced meanwhile
// is found out again, be it an error.
func TestNothingToWrite(t *testing.T) {
	for _, outcome := range []error{nil, io.ErrUnexpectedEOF} {
		f := newFixture(t, "old\n")
		calls := 0
		err := f.w.Update(context.Background(), func(tx *Transaction) error {
			if calls++; calls == 1 {
				f.replace("new\n")
			}
			return outcome
		})
		if !errors.Is(err, outcome) || calls != 2 {
			t.Errorf("%v after %d calls, want %v after 2", err, calls, outcome)
		}
	}
}

// TestRewriteSparesForeignFiles: a file that others put in place stays, whenever
// that happens, and is then what is rewritten.
func TestRewriteSparesForeignFiles(t *testing.T) {
	for name, c := range map[string]struct {
		plan func(f *fixture)
		want string
	}{
		"before":               {func(f *fixture) { f.replace("second\n") }, "SECOND\n"},
		"before the exchange":  {func(f *fixture) { f.fs.beforeExchange = func() { f.replace("second\n") } }, "SECOND\n"},
		"overwritten in place": {func(f *fixture) { f.write(f.path, "third\n") }, "THIRD\n"},
		"overwritten, late":    {func(f *fixture) { f.fs.beforeExchange = func() { f.write(f.path, "third\n") } }, "THIRD\n"},
		"and after the exchange": {func(f *fixture) {
			f.fs.beforeExchange = func() {
				f.replace("second\n")
				f.fs.afterExchange = func() { f.replace("fourth\n") }
			}
		}, "FOURTH\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "first\n")
			calls := 0
			err := f.w.Update(context.Background(), func(tx *Transaction) error {
				if calls++; calls == 1 {
					c.plan(f)
				}
				return upper(tx)
			})
			if err != nil || calls != 2 {
				t.Errorf("%v after %d calls", err, calls)
			}
			f.want(c.want)
		})
	}
}

// TestRewriteWithoutExchange: on such a file system a file that is there when
// the draft is ready is spared too.
func TestRewriteWithoutExchange(t *testing.T) {
	f := newFixture(t, "first\n")
	f.fs.noExchange = true
	calls := 0
	err := f.w.Update(context.Background(), func(tx *Transaction) error {
		if calls++; calls == 1 {
			f.replace("second\n")
		}
		return upper(tx)
	})
	if err != nil || calls != 2 {
		t.Errorf("%v after %d calls", err, calls)
	}
	f.want("SECOND\n")
}

// TestFirstFileSparesForeignFile: a file that appears where there was none is
// appended to, not replaced.
func TestFirstFileSparesForeignFile(t *testing.T) {
	f := newFixture(t, "")
	f.fs.beforeRename = func() { f.replace("theirs\n") }
	if err := f.w.Update(context.Background(), appendLine("mine\n")); err != nil {
		t.Fatal(err)
	}
	f.want("theirs\nmine\n")
}

// TestReplacedAllTheTime ends, with an error that says so.
func TestReplacedAllTheTime(t *testing.T) {
	f := newFixture(t, "old\n")
	calls := 0
	err := f.w.Update(context.Background(), func(tx *Transaction) error {
		calls++
		f.replace("new\n")
		return tx.Append(line("mine\n"))
	})
	if !errors.Is(err, ErrReplaced) || calls != maxAttempts {
		t.Errorf("%v after %d calls", err, calls)
	}
	f.want("new\n")
}

// TestLinkTurned: a symbolic link that leads to another file than before.
func TestLinkTurned(t *testing.T) {
	f := newFixture(t, "")
	dir := filepath.Dir(f.path)
	f.write(filepath.Join(dir, "a"), "a\n")
	f.write(filepath.Join(dir, "b"), "b\n")
	next := func(to string) {
		if err := errors.Join(os.Symlink(to, f.path+"-link"), os.Rename(f.path+"-link", f.path)); err != nil {
			t.Fatal(err)
		}
	}
	next("a")
	calls := 0
	err := f.w.Update(context.Background(), func(tx *Transaction) error {
		if calls++; calls == 1 {
			next("b")
		}
		return tx.Append(line("mine\n"))
	})
	if text := f.read(); err != nil || text != "b\nmine\n" {
		t.Errorf("%q, %v", text, err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "a")); string(text) != "a\n" {
		t.Errorf("the other file has become %q", text)
	}
}

// TestFailingBodyWritesNothing, where there is a file and where there is none.
func TestFailingBodyWritesNothing(t *testing.T) {
	for _, content := range []string{"", "old\n"} {
		f := newFixture(t, content)
		err := f.w.Update(context.Background(), func(tx *Transaction) error {
			return tx.Append(func(w io.Writer) error {
				_, _ = io.WriteString(w, strings.Repeat("x", 2*writeChunk))
				return io.ErrUnexpectedEOF
			})
		})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		text, err := os.ReadFile(f.path)
		if string(text) != content || errors.Is(err, fs.ErrNotExist) != (content == "") {
			t.Errorf("then %q, %v", text, err)
		}
	}
}

// TestNotRegular: a pipe or a directory is neither written nor replaced.
func TestNotRegular(t *testing.T) {
	f := newFixture(t, "")
	if err := os.Mkdir(f.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.w.Update(context.Background(), appendLine("mine\n")); !errors.Is(err, filesystem.ErrNotRegular) {
		t.Error(err)
	}
}
