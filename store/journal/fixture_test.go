package journal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/store/journal/filesystem"
)

// fixture is a journal of plain lines on the real file system, with hooks.
type fixture struct {
	t    *testing.T
	path string
	w    *Writer
	fs   *hookedFS
}

func newFixture(t *testing.T, content string) *fixture {
	f := &fixture{t: t, path: filepath.Join(t.TempDir(), "journal"), fs: &hookedFS{FS: filesystem.OS()}}
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
	filesystem.FS
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

func (h *hookedFS) OpenAppend(path string) (filesystem.File, error) {
	if h.noGuard {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
		return &hookedFile{f, h}, err
	}
	f, err := h.FS.OpenAppend(path)
	if err != nil {
		return nil, err
	}
	return &hookedFile{f, h}, nil
}

type hookedFile struct {
	filesystem.File
	fs *hookedFS
}

func (f *hookedFile) Sync() error {
	err := f.File.Sync()
	once(&f.fs.afterSync)
	return err
}
