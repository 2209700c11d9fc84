package usage

import (
	"bufio"
	"bytes"
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

// ErrForeign is a file that is not one of usage, or of a version we do not
// know. It is neither read nor written.
var ErrForeign = errors.New("not a usage file, or of a version we do not know")

// account is a usage file whose lock is ours, opened for appending.
type account struct{ *journal.Transaction }

// openAccount waits for the lock, for so long at most, opens the file or makes it, and cuts off what
// a writer left that died at it.
func openAccount(path string, patience time.Duration, now time.Time) (*account, error) {
	// Removing the file begins a new account, at any time: it is not evidence.
	w := journal.Writer{Path: path, Wait: patience, StartOver: true}
	tx, err := w.Begin()
	if err != nil {
		return nil, err
	}
	a := &account{tx}
	if err := a.mend(now); err != nil {
		a.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// mend makes sure that the file is ours and ends with a whole line.
func (a *account) mend(now time.Time) error {
	size := int64(0)
	if a.File() != nil {
		var err error
		if size, err = a.wholeLines(a.Size()); err != nil {
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

// wholeLines is the size of the file up to its last end of line. Without one it
// is nothing at all, or a header that was not written to its end.
func (a *account) wholeLines(size int64) (int64, error) {
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
			return 0, ErrForeign
		}
	}
	return 0, nil
}

// beginsHeader tells whether text, with more behind it, may be a header.
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
		return since, ErrForeign
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
	return since, linesOf(in, visit)
}

// linesOf is eachLine of a file without a header, or from behind it on. The
// reader's buffer is the longest that a line can be.
func linesOf(in *bufio.Reader, visit func(line []byte) error) error {
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
	var sum tally
	_, err := readFile(path, sum.adder(id))
	return sum.usage(), err
}

// adder adds the lines of one key up, and steps over those that it can't read.
func (t *tally) adder(id string) func(line []byte) error {
	begin := appendText([]byte(`{"id":`), id)
	var one tally
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
