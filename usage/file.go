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
)

// The first line of a file tells what it is, and since when it has been kept:
//
//	{"keyward":"usage","version":1,"since":"2026-11-22T10:19:47Z"}
const headerMark = `{"keyward":"usage","version":1,`

// ErrWrongFile is a file that is not one of usage, or of a version we do not
// know. It is neither read nor written.
var ErrWrongFile = errors.New("not a usage file, or of a version we do not know")

// usageFile is a usage file that this process has locked and opened for appending.
type usageFile struct{ *journal.Transaction }

// openUsageFile waits for the lock, for so long at most, opens the file or makes it, and cuts off what
// a writer left that died at it.
func openUsageFile(path string, lockTimeout time.Duration, now time.Time) (*usageFile, error) {
	// Removing the file begins a new account, at any time: it is not evidence.
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

// recoverTail makes sure that the file is ours and ends with a whole line.
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
	since, err := now.UTC().Truncate(time.Second).MarshalJSON()
	if err != nil {
		return err
	}
	return a.Append(func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\"since\":%s}\n", headerMark, since)
		return err
	})
}

// completeLines is the size of the file up to its last end of line. Without one it
// is nothing at all, or a header that was not written to its end.
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

// beginsHeader reports whether text, with more behind it, may be a header.
func beginsHeader(text []byte) bool {
	common := min(len(text), len(headerMark))
	return string(text[:common]) == headerMark[:common]
}

// readHeader reads the first line and returns since when the file has been
// kept. A file without a whole line is one with nothing in it yet.
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

// eachLine hands each whole line behind the header to visit, without its
// newline; the line is good until visit returns. One that is too long to be a
// line is stepped over.
func eachLine(r io.Reader, visit func(line []byte) error) (since time.Time, err error) {
	in := bufio.NewReaderSize(r, maxLine)
	if since, err = readHeader(in); err != nil {
		return since, err
	}
	return since, eachLineFrom(in, visit)
}

// eachLineFrom is eachLine of a file without a header, or from behind it on. The
// reader's buffer is the longest that a line can be.
func eachLineFrom(in *bufio.Reader, visit func(line []byte) error) error {
	for skipping := false; ; {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			skipping = true
			continue
		case errors.Is(err, io.EOF):
			return nil // what has no newline was not written to its end
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

// readFile is eachLine of a file that nobody has locked. One that is not there
// is fs.ErrNotExist.
func readFile(path string, visit func(line []byte) error) (time.Time, error) {
	f, err := journal.OS().Open(path)
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

// Read returns the account that the file has of a key. Of a key it does not
// know that is the zero Usage; a file that is not there is fs.ErrNotExist.
func Read(path, id string) (Usage, error) {
	var sum aggregate
	_, err := readFile(path, sum.adder(id))
	return sum.usage(), err
}

// adder adds the lines of one key up, and steps over those that it can't read.
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

// LastUses returns when each key in the file was last used, and since when the
// file has been kept: of what was before that it knows nothing.
func LastUses(path string) (last map[string]time.Time, since time.Time, err error) {
	latest := map[string]int64{}
	since, err = readFile(path, func(line []byte) error {
		c := cursor{text: line}
		id := c.readID()
		if _, at := c.readTimes(); !c.bad {
			latest[id] = max(latest[id], at)
		}
		return nil
	})
	if err != nil {
		return nil, since, err
	}
	last = make(map[string]time.Time, len(latest))
	for id, at := range latest {
		last[id] = time.UnixMicro(at).UTC()
	}
	return last, since, nil
}
