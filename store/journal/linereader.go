package journal

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"keyward/store/jsonline"
)

const (
	readFirst = 16 << 10
	readChunk = 256 << 10
	maxBatch  = 100_000_000

	errBatch jsonline.Error = "a batch of no size"
)

var (
	batchMark = []byte(`{"batch":`)
	leftMark  = []byte(`{"left":`)
)

// lineReader reads the complete lines of a journal. It ends before what is not
// complete, a last line without its newline or a batch that lacks lines, so that it
// can go on from there later.
type lineReader struct {
	r io.ReaderAt

	// offset is where the next line begins, number how many came before it.
	offset int64
	number int
	// torn reports, at the end, that an incomplete line or batch follows.
	torn bool

	buf   []byte
	start int // of what is not yet used in buf; stands at offset
}

// next returns the next line without its newline, valid until the next call. The
// error is io.EOF at the end and jsonline.ErrLong for a line that was skipped. Any other error
// is the file's.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.complete()
		if err != nil || !bytes.HasPrefix(line, batchMark) {
			return line, err
		}
		n, ok := batchSize(line)
		if !ok {
			return nil, errBatch
		}
		complete, err := batchDone(l.r, l.offset, n)
		if err != nil {
			return nil, err
		}
		if !complete {
			l.offset -= int64(len(line) + 1)
			l.number--
			l.start, l.buf = 0, l.buf[:0]
			l.torn = true
			return nil, io.EOF
		}
	}
}

// complete returns the next line that has its newline.
func (l *lineReader) complete() ([]byte, error) {
	searched, skipping := 0, int64(0)
	for {
		rest := l.buf[l.start:]
		if i := bytes.IndexByte(rest[searched:], '\n'); i >= 0 {
			end := searched + i
			l.start += end + 1
			l.offset += skipping + int64(end+1)
			l.number++
			if skipping > 0 || end > jsonline.MaxLine {
				return nil, jsonline.ErrLong
			}
			return rest[:end], nil
		}
		searched = len(rest)
		if searched > jsonline.MaxLine {
			skipping += int64(searched)
			l.start, searched = len(l.buf), 0
		}
		n, err := l.fill(skipping)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			l.torn = len(l.buf) > l.start || skipping > 0
			if skipping > 0 { // what was skipped is read again when there is more
				l.start, l.buf = 0, l.buf[:0]
			}
			return nil, io.EOF
		}
	}
}

// fill reads on behind what is unused, which it moves to the front.
func (l *lineReader) fill(skipped int64) (int, error) {
	rest := copy(l.buf[:cap(l.buf)], l.buf[l.start:])
	l.start = 0
	switch {
	case l.buf == nil:
		l.buf = make([]byte, 0, readFirst)
	case cap(l.buf)-rest < readFirst || cap(l.buf) < readChunk && l.offset >= readChunk:
		bigger := make([]byte, rest, 2*rest+readChunk)
		copy(bigger, l.buf[:rest])
		l.buf = bigger
	}
	n, err := l.r.ReadAt(l.buf[rest:cap(l.buf)], l.offset+skipped+int64(rest))
	l.buf = l.buf[:rest+n]
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// again discards what was read ahead, before more is read of a file that may have
// grown.
func (l *lineReader) again() {
	l.start, l.buf, l.torn = 0, l.buf[:0], false
}

// batchSize reads {"batch":N} in its one spelling.
func batchSize(line []byte) (int, bool) {
	digits, ok := bytes.CutSuffix(line[len(batchMark):], []byte("}"))
	n, err := strconv.Atoi(string(digits))
	return n, ok && err == nil && n > 0 && n <= maxBatch && digits[0] != '+' && digits[0] != '0'
}

// batchDone reports whether the batch of n lines at offset is complete. It uses the
// mark that a writer uses, so that no line is ever appended behind what readers still
// wait for.
func batchDone(r io.ReaderAt, offset int64, n int) (bool, error) {
	l := lineReader{r: r, offset: offset}
	for range n {
		line, err := l.complete()
		var bad jsonline.Error
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case errors.As(err, &bad):
			return true, nil
		case err != nil:
			return false, err
		case !bytes.HasPrefix(line, leftMark):
			return true, nil
		}
	}
	return true, nil
}
