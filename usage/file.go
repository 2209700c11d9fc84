package usage

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

// The first line of a file identifies it, and says when the recording began:
//
//	{"keyward":"usage","version":1,"since":"2026-11-22T10:19:47Z"}
const headerMark = `{"keyward":"usage","version":1,`

// ErrWrongFile is returned for a file that is not a usage file, or is of an
// unknown version. It is neither read nor written.
var ErrWrongFile = errors.New("not a usage file, or of a version we do not know")

// usageFile is a usage file that this process has locked and opened for appending.
type usageFile struct{ *journal.Transaction }

// openUsageFile waits for the lock, at most for lockTimeout, opens or creates the
// file, and cuts off an incomplete line that a crashed writer left.
func openUsageFile(path string, lockTimeout time.Duration, now time.Time) (*usageFile, error) {
	// The file may be removed at any time, and is then created again: it is not
	// evidence.
	w := journal.Writer{Path: path, Wait: lockTimeout, StartOver: true}
	tx, err := w.Begin(context.Background())
	if err != nil {
		return nil, err
	}
	a := &usageFile{tx}
	if err := a.recoverTail(now); err != nil {
		a.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// recoverTail checks that the file is a usage file, and makes it end with a
// complete line.
func (a *usageFile) recoverTail(now time.Time) error {
	size := int64(0)
	if a.File() != nil {
		var err error
		if size, err = a.completeLines(a.Size()); err != nil {
			return err
		}
		if size < a.Size() {
			if err := a.Truncate(size); err != nil {
				return err
			}
		}
	}
	if size > 0 {
		_, err := readHeader(bufio.NewReader(io.NewSectionReader(a.File(), 0, size)))
		return err
	}
	return a.Append(func(w io.Writer) error {
		_, err := w.Write(Header(now))
		return err
	})
}

// completeLines returns the size of the file up to its last end of line. A file
// without one is empty, or has an incomplete header.
func (a *usageFile) completeLines(size int64) (int64, error) {
	chunk := make([]byte, maxLine)
	for end := size; end > 0; {
		part := chunk[:min(int64(len(chunk)), end)]
		if _, err := a.File().ReadAt(part, end-int64(len(part))); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return end - int64(len(part)) + int64(i) + 1, nil
		}
		if end -= int64(len(part)); end == 0 && !beginsHeader(part) {
			return 0, ErrWrongFile
		}
	}
	return 0, nil
}

// beginsHeader reports whether text may be the beginning of a header.
func beginsHeader(text []byte) bool {
	common := min(len(text), len(headerMark))
	return string(text[:common]) == headerMark[:common]
}

// readHeader reads the first line and returns when the recording began. A file
// without a complete line has no usage yet.
func readHeader(r *bufio.Reader) (since time.Time, err error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, io.EOF) && beginsHeader(line) {
		return since, nil
	}
	var header struct {
		Keyward string    `json:"keyward"`
		Version int       `json:"version"`
		Since   time.Time `json:"since"`
	}
	if err != nil || !bytes.HasPrefix(line, []byte(headerMark)) || json.Unmarshal(line, &header) != nil {
		return since, ErrWrongFile
	}
	return header.Since, nil
}

// eachLine calls visit with each complete line after the header, without its
// newline. The line is valid until visit returns. Lines that are too long are
// skipped.
func eachLine(r io.Reader, visit func(line []byte) error) (since time.Time, err error) {
	in := bufio.NewReaderSize(r, maxLine)
	if since, err = readHeader(in); err != nil {
		return since, err
	}
	return since, eachLineFrom(in, visit)
}

// eachLineFrom is eachLine for a file without a header, or after its header. The
// reader's buffer has the maximum size of a line.
func eachLineFrom(in *bufio.Reader, visit func(line []byte) error) error {
	for skipping := false; ; {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			skipping = true
			continue
		case errors.Is(err, io.EOF):
			return nil // a line without a newline is incomplete
		case err != nil:
			return err
		}
		if !skipping {
			if err := visit(line[:len(line)-1]); err != nil {
				return err
			}
		}
		skipping = false
	}
}

// readFile is eachLine without the lock on the file. For a missing file it returns
// fs.ErrNotExist.
func readFile(path string, visit func(line []byte) error) (time.Time, error) {
	f, err := filesystem.OS().Open(path)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	since, err := eachLine(io.NewSectionReader(f, 0, info.Size()), visit)
	if err != nil {
		return since, fmt.Errorf("%s: %w", path, err)
	}
	return since, nil
}

// Read returns the usage of a key in the file, with the 30 days up to now. It is
// that of a key that was never used if the file has none. For a missing file it
// returns fs.ErrNotExist.
func Read(path, id string, now time.Time) (Usage, error) {
	var sum aggregate
	_, err := readFile(path, sum.adder(id))
	return sum.usage(now), err
}

// adder adds up the lines of one key, and skips those that it cannot read.
func (t *aggregate) adder(id string) func(line []byte) error {
	begin := appendText([]byte(`{"id":`), id)
	var one aggregate
	return func(line []byte) error {
		if !bytes.HasPrefix(line, begin) {
			return nil
		}
		if got, err := parseLine(line, &one); err == nil && got == id {
			t.add(&one)
		}
		return nil
	}
}
