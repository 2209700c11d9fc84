package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"keyward/store/journal"
)

// ErrDamaged is a file that is empty or missing and had content before.
var ErrDamaged = journal.ErrDamaged

// store is a journal on disk, of keys, users or revocations: what is common to
// them.
type store struct {
	journal.Writer
	header header
}

// turn is one writer's turn at a file: the lock is held, a torn tail is gone.
type turn struct {
	*journal.Transaction
	store *store
}

// write waits for the lock and calls do, and calls it again if another program
// replaces the file meanwhile. A missing file is created if create is set, else
// the error is ErrNotFound. When write returns nil, what do appended is on disk,
// in the file that the path names; when it returns an error, that is removed.
func (s *store) write(create bool, do func(*turn) error) error {
	return s.Update(func(tx *journal.Transaction) error {
		t := &turn{tx, s}
		if !create && !t.Exists() {
			return s.failed("opening", ErrNotFound)
		}
		if err := t.mend(); err != nil {
			return s.failed("opening", err)
		}
		return do(t)
	})
}

func (s *store) failed(doing string, err error) error {
	return fmt.Errorf("%s %q: %w", doing, s.Path, err)
}

// mend checks the header and cuts a torn tail off: what a writer left behind
// that died, and never reported as done.
func (t *turn) mend() error {
	if t.File() == nil {
		return nil
	}
	l := &lines{r: t.File()}
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
	return t.Truncate(l.offset)
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
	from := max(t.Size()-look, 0)
	tail := make([]byte, t.Size()-from)
	if n, err := t.File().ReadAt(tail, from); n < len(tail) {
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
// The first lines of a file come into being with its header.
func (t *turn) append(body func(io.Writer) error) error {
	if t.File() == nil {
		return t.rewrite(body)
	}
	return t.Append(body)
}

// rewrite puts a file with our header and what body writes in place of the one
// that stands there, whose mode and owner it keeps.
func (t *turn) rewrite(body func(io.Writer) error) error {
	first, err := encodeLine(t.store.header)
	if err != nil {
		return err
	}
	return t.Rewrite(func(w io.Writer) error {
		if _, err := w.Write(first); err != nil {
			return err
		}
		return body(w)
	})
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
			return fmt.Errorf("%s:%d: %w", s.Path, l.number, err)
		}
	}
}

// read hands each line to visit, of a file that is not locked. One that is not
// there, or empty, has none, unless it had content before.
func (s *store) read(visit func(line []byte, number int) error) error {
	file, err := s.files().Open(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.readEmpty()
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
		return s.readEmpty()
	}
	return s.each(file, visit)
}

func (s *store) readEmpty() error {
	if err := refuseDamaged(s.files(), s.Path); err != nil {
		return s.failed("reading", err)
	}
	return nil
}

func (s *store) files() journal.FS { return orOS(s.FS) }

// orOS is the file system, or the operating system's where none is given.
func orOS(given journal.FS) journal.FS {
	if given == nil {
		return journal.OS()
	}
	return given
}

// each is store.each of the file whose turn it is.
func (t *turn) each(visit func(line []byte, number int) error) error {
	if t.File() == nil {
		return nil
	}
	return t.store.each(t.File(), visit)
}
