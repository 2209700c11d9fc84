package keystore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// store is a journal on disk, of keys or of users: what is common to both.
type store struct {
	fs     FS
	path   string
	header header
}

// turn is one writer's turn at a file: the lock is held, a torn tail is gone.
type turn struct {
	store *store
	path  string // with symbolic links followed
	file  File
	end   int64
}

// writeChunk is more than any line a command makes, but for long lists of paths.
const writeChunk = 64 << 10

// write waits for the lock and calls do. Where there is no file one is made if
// create says so, else the error is ErrNotFound. What do has appended is on
// disk when write returns nil, and gone again when it returns an error.
func (s *store) write(create bool, do func(*turn) error) (err error) {
	path, lock, err := s.lock()
	if err != nil {
		return err
	}
	defer lock.Close()

	t := &turn{store: s, path: path}
	if err := t.open(create); err != nil {
		return err
	}
	defer t.file.Close() // what was written is synced, or was taken back
	return do(t)
}

// lock waits for the lock of the file that the path leads to. A symbolic link
// may be turned to another file meanwhile; then that one's lock is the right one.
func (s *store) lock() (path string, lock io.Closer, err error) {
	if path, err = s.fs.Resolve(s.path); err != nil {
		return "", nil, s.failed("finding", err)
	}
	for {
		if lock, err = s.fs.Lock(path + ".lock"); err != nil {
			return "", nil, s.failed("locking", err)
		}
		now, err := s.fs.Resolve(s.path)
		if err == nil && now == path {
			return path, lock, nil
		}
		_ = lock.Close()
		if err != nil {
			return "", nil, s.failed("finding", err)
		}
		path = now
	}
}

func (s *store) failed(doing string, err error) error {
	return fmt.Errorf("%s %q: %w", doing, s.path, err)
}

// open opens the file, makes sure that it is ours and cuts a torn tail off.
func (t *turn) open(create bool) error {
	info, err := t.store.fs.Stat(t.path)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return t.store.failed("opening", err)
	case !missing && !info.Mode().IsRegular():
		return t.store.failed("opening", errors.New("not a regular file"))
	case missing && !create:
		return t.store.failed("opening", ErrNotFound)
	case missing || info.Size() == 0:
		if err := t.rewrite(info, func(io.Writer) error { return nil }); err != nil {
			return err
		}
	}
	t.file, err = t.store.fs.OpenAppend(t.path)
	if err != nil {
		return t.store.failed("opening", err)
	}
	if err := t.mend(); err != nil {
		_ = t.file.Close()
		return t.store.failed("opening", err)
	}
	return nil
}

// mend checks the header and cuts a torn tail off: what a writer left behind
// that died, and never reported as done.
func (t *turn) mend() error {
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	t.end = info.Size()
	l := &lines{r: t.file}
	first, err := l.next()
	if err != nil {
		return orForeign(err)
	}
	if err := t.store.header.check(first); err != nil {
		return err
	}
	torn, err := t.torn()
	if err != nil || !torn {
		return err
	}
	for { // the way of the readers: they end where a torn tail begins
		if _, err = l.next(); errors.Is(err, io.EOF) {
			break
		}
		var bad lineError
		if err != nil && !errors.As(err, &bad) {
			return err
		}
	}
	if err := t.file.Truncate(l.offset); err != nil {
		return err
	}
	t.end = l.offset
	return nil
}

// orForeign makes "no first line" and "no sensible first line" ErrForeign.
func orForeign(err error) error {
	var bad lineError
	if errors.Is(err, io.EOF) || errors.As(err, &bad) {
		return ErrForeign
	}
	return err
}

// torn looks at the last line alone, so that appending costs the same in any
// file. The lines of a batch say how many of it are still to come.
func (t *turn) torn() (bool, error) {
	const look = 4 << 10
	from := max(t.end-look, 0)
	tail := make([]byte, t.end-from)
	if n, err := t.file.ReadAt(tail, from); n < len(tail) {
		return false, err
	}
	whole, ok := bytes.CutSuffix(tail, []byte("\n"))
	if !ok {
		return true, nil
	}
	i := bytes.LastIndexByte(whole, '\n')
	if i < 0 && from > 0 {
		return true, nil // too long a line to see its start: let the long way tell
	}
	last := whole[i+1:]
	return bytes.HasPrefix(last, leftMark) || bytes.HasPrefix(last, batchMark), nil
}

// append writes what body writes at the end of the file and makes it durable.
// When that fails it takes it back.
// A single line goes out in a single write.
func (t *turn) append(body func(io.Writer) error) error {
	w := bufio.NewWriterSize(t.file, writeChunk)
	err := body(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = t.file.Sync()
	}
	if err != nil {
		// The sync of the truncation keeps a crash from bringing back what
		// is about to be reported as failed.
		if back := t.file.Truncate(t.end); back == nil {
			_ = t.file.Sync()
		}
		return t.store.failed("appending to", err)
	}
	return nil
}

// appendLines appends n lines, each with its newline, which line makes in turn;
// several as a batch, which readers see as a whole or not at all.
func (t *turn) appendLines(n int, line func(i int) ([]byte, error)) error {
	return t.append(func(w io.Writer) error {
		if n > 1 {
			if _, err := fmt.Fprintf(w, "%s%d}\n", batchMark, n); err != nil {
				return err
			}
		}
		for i := range n {
			text, err := line(i)
			if err != nil {
				return err
			}
			if left := n - 1 - i; left > 0 {
				if _, err := fmt.Fprintf(w, "%s%d,", leftMark, left); err != nil {
					return err
				}
				text = text[1:] // the object's brace
			}
			if _, err := w.Write(text); err != nil {
				return err
			}
		}
		return nil
	})
}

// rewrite puts a file with our header and what body writes in place of the one
// that stands there, whose mode and owner it keeps; like is nil if none does.
func (t *turn) rewrite(like fs.FileInfo, body func(io.Writer) error) error {
	s := t.store
	temp := t.path + ".tmp"
	file, err := s.fs.Create(temp, like)
	if err != nil {
		return s.failed("writing", err)
	}
	err = t.fill(file, body)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = s.fs.Rename(temp, t.path)
	}
	if err != nil {
		_ = s.fs.Remove(temp)
		return s.failed("writing", err)
	}
	if err := s.fs.SyncFolder(filepath.Dir(t.path)); err != nil {
		return s.failed("writing", err)
	}
	return nil
}

func (t *turn) fill(file File, body func(io.Writer) error) error {
	w := bufio.NewWriterSize(file, writeChunk)
	first, err := encodeLine(t.store.header)
	if err != nil {
		return err
	}
	if _, err := w.Write(first); err != nil {
		return err
	}
	if err := body(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Sync()
}

// each hands every line of the file but the header to visit, with its number
// in the file; nil in place of a line that is too long to be one.
func (s *store) each(r io.ReaderAt, visit func(line []byte, number int) error) error {
	l := &lines{r: r}
	first, err := l.next()
	if err == nil {
		err = s.header.check(first)
	}
	if err != nil {
		return s.failed("reading", orForeign(err))
	}
	for {
		line, err := l.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var bad lineError
		if err == nil || errors.As(err, &bad) {
			err = visit(line, l.number)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", s.path, l.number, err)
		}
	}
}

// read hands each line to visit, of a file that nobody has locked. One that is
// not there, or empty, has none.
func (s *store) read(visit func(line []byte, number int) error) error {
	file, err := s.fs.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.failed("reading", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return s.failed("reading", err)
	}
	if info.Size() == 0 {
		return nil
	}
	return s.each(file, visit)
}

// each is store.each of the file whose turn it is.
func (t *turn) each(visit func(line []byte, number int) error) error {
	return t.store.each(t.file, visit)
}
