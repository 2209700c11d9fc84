package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"keyward/store/journal/filesystem"
	"keyward/store/jsonline"
)

// ErrWrongFile is a file of another kind, or of a version that is not known.
var ErrWrongFile = errors.New("not a Keyward file, or of a version that this Keyward does not know")

// Header is the first line of the files of one kind.
type Header struct {
	Line []byte // of a new file, newline included
	// Renew returns the first line of a file that replaces one with that first line,
	// newline included; nil is Line.
	Renew func(first []byte) ([]byte, error)
	// Check returns why a file with that first line is not of the kind. The error
	// may be ErrWrongFile.
	Check func(first []byte) error
	// MayWrite returns why a file with that first line can be read and must not be
	// changed; nil: each that Check accepts can be.
	MayWrite func(first []byte) error
}

// Lines is a file of lines of JSON, the first of which is its header. A later
// line may be about the same thing as an earlier one: what the lines mean is for the
// caller.
type Lines struct {
	Writer
	Header Header
}

// LineTransaction is a [Transaction] whose file has its header, and no torn tail.
type LineTransaction struct {
	*Transaction
	of    *Lines
	ctx   context.Context // of the Write that it is for
	first []byte          // line of the file; nil where there is no content
}

// Write waits for the lock and calls do, and calls it again if another program
// replaces the file meanwhile. If the file is missing, do creates it, or the error
// is missing if that is not nil. If Write returns nil, what do appended is durable, in
// the file that the path names; if it returns an error, that is removed. ctx ends the
// wait for the lock, and reading.
func (l *Lines) Write(ctx context.Context, missing error, do func(*LineTransaction) error) error {
	return l.Update(ctx, func(tx *Transaction) error {
		t := &LineTransaction{Transaction: tx, of: l, ctx: ctx}
		if missing != nil && !t.Exists() {
			return l.failed("opening", missing)
		}
		if err := t.recoverTail(); err != nil {
			return l.failed("opening", err)
		}
		return do(t)
	})
}

// First returns the file's first line; nil where there is no content.
func (t *LineTransaction) First() []byte { return t.first }

// recoverTail checks the header and cuts off a torn tail: what a writer that died
// left behind, and never reported as done.
func (t *LineTransaction) recoverTail() error {
	if t.File() == nil {
		return nil
	}
	l := &lineReader{r: t.File()}
	first, err := l.next()
	if err != nil {
		return orWrongFile(err)
	}
	if err := t.of.Header.Check(first); err != nil {
		return err
	}
	if mayWrite := t.of.Header.MayWrite; mayWrite != nil {
		if err := mayWrite(first); err != nil {
			return err
		}
	}
	t.first = bytes.Clone(first)
	torn, err := t.torn()
	if err != nil || !torn {
		return err
	}
	for { // as readers do, which end where a torn tail begins
		if _, err = l.next(); errors.Is(err, io.EOF) {
			break
		}
		var bad jsonline.Error
		if err != nil && !errors.As(err, &bad) {
			return err
		}
	}
	return t.Truncate(l.offset)
}

// orWrongFile makes "no first line" and "no sensible first line" ErrWrongFile.
func orWrongFile(err error) error {
	var bad jsonline.Error
	if errors.Is(err, io.EOF) || errors.As(err, &bad) {
		return ErrWrongFile
	}
	return err
}

// torn reports whether the file ends in a torn line or batch. It reads the last
// line only, so that appending costs the same in any file. The lines of a batch say
// how many of it are still to come.
func (t *LineTransaction) torn() (bool, error) {
	const look = 4 << 10
	from := max(t.Size()-look, 0)
	tail := make([]byte, t.Size()-from)
	if n, err := t.File().ReadAt(tail, from); n < len(tail) {
		return false, err
	}
	line, ok := bytes.CutSuffix(tail, []byte("\n"))
	if !ok {
		return true, nil
	}
	i := bytes.LastIndexByte(line, '\n')
	if i < 0 && from > 0 {
		return true, nil // too long a line to see its start: read the file
	}
	last := line[i+1:]
	return OfBatch(last), nil
}

// Append appends the lines that body writes and makes them durable. The first
// lines of a file are created together with its header.
func (t *LineTransaction) Append(body func(io.Writer) error) error {
	if t.File() == nil {
		return t.Rewrite(body)
	}
	return t.Transaction.Append(body)
}

// Rewrite replaces the file by one with the header and what body writes. It keeps
// the mode and owner.
func (t *LineTransaction) Rewrite(body func(io.Writer) error) error {
	header := t.of.Header.Line
	if renew := t.of.Header.Renew; renew != nil && t.first != nil {
		var err error
		if header, err = renew(t.first); err != nil {
			return err
		}
	}
	return t.Transaction.Rewrite(func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		return body(w)
	})
}

// OfBatch reports whether readers take the line for one of a batch, or for its beginning.
func OfBatch(line []byte) bool {
	return bytes.HasPrefix(line, leftMark) || bytes.HasPrefix(line, batchMark)
}

// Unbatched returns a line of a batch as it is outside of one.
func Unbatched(line []byte) []byte {
	if rest, ok := bytes.CutPrefix(line, leftMark); ok {
		if _, members, more := bytes.Cut(rest, []byte(",")); more {
			return append([]byte("{"), members...)
		}
	}
	return line
}

// AppendBatch appends n lines, each of which line makes with its newline. Readers
// see all of them or none.
func (t *LineTransaction) AppendBatch(n int, line func(i int) ([]byte, error)) error {
	return t.Append(func(w io.Writer) error {
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

// each calls visit for each line of the file but the header, with its number in
// the file; nil in place of a line that is too long to be one.
func (l *Lines) each(ctx context.Context, r io.ReaderAt, visit func(line []byte, number int) error) error {
	in := &lineReader{r: r}
	first, err := in.next()
	if err == nil {
		err = l.Header.Check(first)
	}
	if err != nil {
		return l.failed("reading", orWrongFile(err))
	}
	for {
		if err := ctx.Err(); err != nil {
			return l.failed("reading", err)
		}
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var bad jsonline.Error
		if err == nil || errors.As(err, &bad) {
			err = visit(line, in.number)
		}
		if err != nil {
			return l.ErrorAt(in.number, err)
		}
	}
}

// ErrorAt is an error about the line with that number.
func (l *Lines) ErrorAt(number int, err error) error {
	return fmt.Errorf("%s:%d: %w", l.Path, number, err)
}

// Read calls visit for each line, of a file that is not locked, with the line's
// number. A missing or an empty file has no lines, unless it had content before:
// that is ErrDamaged. Reading ends with ctx.
func (l *Lines) Read(ctx context.Context, visit func(line []byte, number int) error) error {
	if err := ctx.Err(); err != nil {
		return l.failed("reading", err)
	}
	file, _, err := l.open()
	if err != nil {
		return l.failed("reading", err)
	}
	if file == nil {
		return l.readEmpty()
	}
	defer file.Close()
	return l.each(ctx, file, visit)
}

// open opens the file for reading; nil if it is missing or empty.
func (l *Lines) open() (filesystem.File, fs.FileInfo, error) {
	file, err := l.files().Open(l.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

func (l *Lines) readEmpty() error {
	if err := refuseDamaged(l.files(), l.Path); err != nil {
		return l.failed("reading", err)
	}
	return nil
}

// Read is [Lines.Read] under the lock.
func (t *LineTransaction) Read(visit func(line []byte, number int) error) error {
	if t.File() == nil {
		return nil
	}
	return t.of.each(t.ctx, t.File(), visit)
}
