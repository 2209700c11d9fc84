package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fixture is a journal of plain lines on the real file system, with hooks.
type fixture struct {
	t    *testing.T
	path string
	w    *Writer
	fs   *hookedFS
}

func newFixture(t *testing.T, content string) *fixture {
	f := &fixture{t: t, path: filepath.Join(t.TempDir(), "journal"), fs: &hookedFS{FS: OS()}}
	f.w = &Writer{Path: f.path, FS: f.fs}
	if content != "" {
		f.write(f.path, content)
	}
	return f
}

func (f *fixture) write(path, content string) {
	f.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// replace is what others do: mv new journal.
func (f *fixture) replace(content string) {
	f.t.Helper()
	f.write(f.path+".new", content)
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) read() string {
	f.t.Helper()
	text, err := os.ReadFile(f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

func (f *fixture) want(content string) {
	f.t.Helper()
	if got := f.read(); got != content {
		f.t.Errorf("the path names %q, want %q", got, content)
	}
	if left, _ := filepath.Glob(f.path + ".*"); len(left) != 1 {
		f.t.Errorf("beside the file there are %v, want the lock alone", left)
	}
}

func line(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func appendLine(text string) func(*Transaction) error {
	return func(t *Transaction) error { return t.Append(line(text)) }
}

// upper rewrites the file in capitals: what a compaction is to a key file.
func upper(t *Transaction) error {
	text := make([]byte, t.Size())
	if _, err := t.File().ReadAt(text, 0); err != nil {
		return err
	}
	return t.Rewrite(line(strings.ToUpper(string(text))))
}

// hookedFS calls a hook at a step of a transaction, each hook once.
type hookedFS struct {
	FS
	afterSync, beforeExchange, afterExchange, beforeRename func()
	noExchange, noGuard                                    bool // what the system cannot do
}

func once(hook *func()) {
	if call := *hook; call != nil {
		*hook = nil
		call()
	}
}

func (h *hookedFS) Exchange(a, b string) error {
	if h.noExchange {
		return errors.ErrUnsupported
	}
	once(&h.beforeExchange)
	err := h.FS.Exchange(a, b)
	once(&h.afterExchange)
	return err
}

func (h *hookedFS) RenameNew(from, to string) error {
	once(&h.beforeRename)
	return h.FS.RenameNew(from, to)
}

func (h *hookedFS) OpenAppend(path string) (File, error) {
	if h.noGuard {
		f, err := openAppend(path)
		return &hookedFile{f, h}, err
	}
	f, err := h.FS.OpenAppend(path)
	if err != nil {
		return nil, err
	}
	return &hookedFile{f, h}, nil
}

type hookedFile struct {
	File
	fs *hookedFS
}

func (f *hookedFile) Sync() error {
	err := f.File.Sync()
	once(&f.fs.afterSync)
	return err
}

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
			err := f.w.Update(func(tx *Transaction) error {
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
		err := f.w.Update(func(tx *Transaction) error {
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
			err := f.w.Update(func(tx *Transaction) error {
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
	err := f.w.Update(func(tx *Transaction) error {
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
	if err := f.w.Update(appendLine("mine\n")); err != nil {
		t.Fatal(err)
	}
	f.want("theirs\nmine\n")
}

// TestRenameNew, by either way.
func TestRenameNew(t *testing.T) {
	for name, rename := range map[string]func(from, to string) error{"rename": OS().RenameNew, "link": linkNew} {
		f := newFixture(t, "")
		f.write(f.path+".tmp", "first")
		if err := rename(f.path+".tmp", f.path); err != nil || f.read() != "first" {
			t.Errorf("%s: %q, %v", name, f.read(), err)
		}
		f.write(f.path+".tmp", "second")
		if err := rename(f.path+".tmp", f.path); !errors.Is(err, fs.ErrExist) || f.read() != "first" {
			t.Errorf("%s: over a file: %q, %v", name, f.read(), err)
		}
	}
}

// TestReplacedAllTheTime ends, with an error that says so.
func TestReplacedAllTheTime(t *testing.T) {
	f := newFixture(t, "old\n")
	calls := 0
	err := f.w.Update(func(tx *Transaction) error {
		calls++
		f.replace("new\n")
		return tx.Append(line("mine\n"))
	})
	if !errors.Is(err, ErrReplaced) || calls != maxAttempts {
		t.Errorf("%v after %d calls", err, calls)
	}
	f.want("new\n")
}

// TestLinkTurned: a symbolic link that leads to another file by now.
func TestLinkTurned(t *testing.T) {
	f := newFixture(t, "")
	dir := filepath.Dir(f.path)
	f.write(filepath.Join(dir, "a"), "a\n")
	f.write(filepath.Join(dir, "b"), "b\n")
	turn := func(to string) {
		if err := errors.Join(os.Symlink(to, f.path+"-link"), os.Rename(f.path+"-link", f.path)); err != nil {
			t.Fatal(err)
		}
	}
	turn("a")
	calls := 0
	err := f.w.Update(func(tx *Transaction) error {
		if calls++; calls == 1 {
			turn("b")
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
		err := f.w.Update(func(tx *Transaction) error {
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
	if err := f.w.Update(appendLine("mine\n")); !errors.Is(err, errNotRegular) {
		t.Error(err)
	}
}
