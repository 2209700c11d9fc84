package usage

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"keyward/store/journal"
)

// fileIndex is what a usage file says of when each key was last used, and where the
// lines of each key are. Each use reads what was appended first, and all of a file that
// took the place of the one before, as a compaction makes it.
type fileIndex struct {
	mu       sync.Mutex
	progress journal.Progress
	keys     map[keyID]indexed
	lines    []indexedLine
}

// indexed is what the index has of a key.
type indexed struct {
	last   int64  // microseconds since 1970
	newest uint32 // one above the number of its last line
}

type indexedLine struct {
	offset int64
	length uint32
	before uint32 // the key's line before it, as indexed.newest
}

func newFileIndex(path string) *fileIndex {
	x := &fileIndex{progress: journal.Progress{Lines: &journal.Lines{
		Writer: journal.Writer{Path: path}, Header: journal.Header{Check: checkHeader},
	}}}
	x.Reset()
	return x
}

// Reset implements journal.Index.
func (x *fileIndex) Reset() { x.keys, x.lines = map[keyID]indexed{}, nil }

// Add implements journal.Index. A line that cannot be read is skipped.
func (x *fileIndex) Add(line []byte, at journal.LineRef) {
	c := cursor{text: line}
	text := c.readID()
	id, ok := idOf(text)
	if c.bad || !ok {
		return
	}
	key := x.keys[id]
	if _, last := c.readTimes(); !c.bad { // else it is a line about days
		key.last = max(key.last, last)
	}
	x.lines = append(x.lines, indexedLine{at.Offset, uint32(at.Length), key.newest})
	key.newest = uint32(len(x.lines))
	x.keys[id] = key
}

// update reads what is new in the file. A missing file has no uses.
func (x *fileIndex) update() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.advance()
}

func (x *fileIndex) advance() error {
	for {
		done, err := x.progress.Advance(context.Background(), x)
		if errors.Is(err, journal.ErrDamaged) {
			return nil // it may be removed: it is not evidence
		}
		if done || err != nil {
			return err
		}
	}
}

// lastUse returns when the key was last used by what was read; zero if it was not.
func (x *fileIndex) lastUse(id string) int64 {
	key, ok := idOf(id)
	if !ok {
		return 0
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.keys[key].last
}

// read calls visit for each line of the key, the oldest first.
func (x *fileIndex) read(id string, visit func(line []byte) error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.advance(); err != nil {
		return err
	}
	key, _ := idOf(id)
	var refs []journal.LineRef
	for n := x.keys[key].newest; n > 0; n = x.lines[n-1].before {
		refs = append(refs, journal.LineRef{Offset: x.lines[n-1].offset, Length: int(x.lines[n-1].length)})
	}
	var buf []byte
	for _, ref := range slices.Backward(refs) {
		line, err := x.progress.ReadLine(ref, buf)
		if err != nil {
			x.progress.Forget()
			return err
		}
		if err := visit(line); err != nil {
			return err
		}
		buf = line
	}
	return nil
}

// checkHeader returns why a file with that first line is not a usage file.
func checkHeader(first []byte) error {
	if !bytes.HasPrefix(first, []byte(headerMark)) {
		return ErrWrongFile
	}
	return nil
}
