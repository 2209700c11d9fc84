package journal

import (
	"bytes"
	"io"
	"slices"
)

// How much is read from the end of a file: little at first, since what is looked for is
// mostly in the last lines, and then ever more.
const (
	tailChunk    = 16 << 10
	maxTailChunk = 256 << 10
)

// Tail returns the lines that the last Append wrote, without their newlines and
// their places in a batch: those of one batch, or the last line. A file without
// lines has none.
func (t *LineTransaction) Tail() ([][]byte, error) {
	if t.File() == nil {
		return nil, nil
	}
	return tailOf(t.File(), t.Size())
}

// Tail is [LineTransaction.Tail] of a file that is not locked, and ends with its last
// line. A missing file is fs.ErrNotExist.
func (l *Lines) Tail() ([][]byte, error) {
	file, err := l.files().Open(l.Path)
	if err != nil {
		return nil, l.failed("reading", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, l.failed("reading", err)
	}
	return tailOf(file, info.Size())
}

func tailOf(file io.ReaderAt, size int64) ([][]byte, error) {
	// Ever larger parts, so that a batch of any size is read in linear time.
	for n := min(size, tailChunk); ; n = min(size, 4*n) {
		text := make([]byte, n)
		if got, err := file.ReadAt(text, size-n); got < len(text) {
			return nil, err
		}
		entire := n == size
		if lines, ok := lastAppend(text, entire); ok || entire {
			return lines, nil
		}
	}
}

// lastAppend returns the lines of the last append in the end of a file, if they are
// all there. In an entire file the first line is its header.
func lastAppend(text []byte, entire bool) ([][]byte, bool) {
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	first := len(lines) - 1
	for first > 1 && bytes.HasPrefix(lines[first-1], leftMark) {
		first--
	}
	if first <= 1 && !entire {
		return nil, false // the line before may be of the batch, or a part of one
	}
	if first == 0 {
		return nil, true
	}
	last := lines[first:]
	for i := range last {
		last[i] = Unbatched(last[i])
	}
	return last, true
}

// Contains reports whether a complete line of the file has one of the texts, of at
// most a kilobyte. It reads the file from its end, where the latest lines are. A
// missing or an empty file is as for [Lines.Read].
func (l *Lines) Contains(texts ...[]byte) (bool, error) {
	file, info, err := l.open()
	if err != nil {
		return false, l.failed("reading", err)
	}
	if file == nil {
		return false, l.readEmpty()
	}
	defer file.Close()
	var chunk []byte
	seen := false // the newline that ends the lines before it
	for end, size := info.Size(), int64(tailChunk); end > 0; size = min(4*size, maxTailChunk) {
		n := min(end, size)
		if int64(cap(chunk)) < n {
			chunk = make([]byte, n)
		}
		part := chunk[:n]
		if got, err := file.ReadAt(part, end-n); got < len(part) {
			return false, l.failed("reading", err)
		}
		if !seen {
			i := bytes.LastIndexByte(part, '\n')
			seen = i >= 0
			part = part[:i+1]
		}
		if slices.ContainsFunc(texts, func(text []byte) bool { return bytes.Contains(part, text) }) {
			return true, nil
		}
		if n == end {
			break
		}
		end -= n - min(n-1, 1<<10) // a text may lie across two chunks
	}
	return false, nil
}
