package replica

import (
	"bytes"
	"hash/maphash"
	"io"

	"keyward/store/journal"
)

// endedLines are where a copy has the lines by which something has ended: of those about
// one record, the last. They have 20 to 40 bytes for each, by hashes of what the lines are
// about, under a seed that no writer knows.
type endedLines struct {
	seed maphash.Seed
	at   map[uint64]lineRef
	held map[uint64]struct{} // those that the database says otherwise of
}

// lineRef is an offset of a file, and the length of the line there.
type lineRef uint64

const refLength = 21 // bits, for jsonline.MaxLine

func newLineRef(offset int64, length int) lineRef {
	return lineRef(uint64(offset)<<refLength | uint64(length))
}

func newEndedLines() *endedLines {
	return &endedLines{maphash.MakeSeed(), map[uint64]lineRef{}, map[uint64]struct{}{}}
}

// saw is called with each line of the copy that may end something, and each later one
// about the same record. Nothing takes the place of a revocation: only whether it is held
// is remembered.
func (e *endedLines) saw(kind Kind, a *about, line []byte, offset int64) {
	h := maphash.String(e.seed, a.id)
	switch {
	case kind == Revocations:
	case a.ends:
		e.at[h] = newLineRef(offset, len(line))
	default:
		delete(e.at, h)
	}
	if isHeld(line) {
		e.held[h] = struct{}{}
	} else {
		delete(e.held, h)
	}
}

// line returns the line of the file by which something has ended of the record; nil if
// nothing has.
func (e *endedLines) line(file io.ReaderAt, of ending, id string) ([]byte, error) {
	at, there := e.at[maphash.String(e.seed, id)]
	if !there {
		return nil, nil
	}
	line := make([]byte, at&(1<<refLength-1))
	if n, err := file.ReadAt(line, int64(at>>refLength)); n < len(line) {
		return nil, err
	}
	about, err := of.about(line)
	if err != nil || bytes.IndexByte(line, '\n') >= 0 {
		return nil, journal.ErrReplaced
	}
	if about.id != id {
		return nil, nil // the hash is that of two records
	}
	return line, nil
}

// carried returns the line next, changed so that what has ended by the line seen, which is
// about the same record, stays ended, and whether that changes it. If such a line cannot be
// written, the record has ended, or stays as it was seen.
func carried(of ending, seen, next []byte, restored bool) (line []byte, held bool) {
	line, err := of.inherit(seen, next, restored || isHeld(seen))
	if err == nil && line == nil {
		return next, false
	}
	if err != nil {
		line, err = of.orphan(seen)
	}
	if err != nil || checkLine(marked(line)) != nil {
		line = seen
	}
	return marked(line), true
}

// appending are lines of the journal that are to be appended to a copy. What has ended
// there stays ended: a writer whose login was stolen can write an earlier line of a key
// that was revoked.
type appending struct {
	*localCopy
	file io.ReaderAt
	size int64 // of the copy with the lines

	texts   [][]byte
	abouts  []appended
	seen    map[string][]byte // the lines that end something, of records that texts are about
	lost    []LostRecord      // that the lines would have brought back
	skipped int
}

// appended is a line at a place.
type appended struct {
	about
	line []byte
	at   int64
}

// add adds a line. One that readers would not read to its end is stepped over: what stands
// behind it is not to wait.
func (a *appending) add(l *Line) error {
	if checkLine(l.Text) != nil {
		a.skipped++
		return nil
	}
	line := l.Text
	about, err := a.ending.about(line)
	if err != nil {
		a.put(line) // readers step over it too
		return nil
	}
	seen, known := a.seen[about.id]
	if !known {
		if seen, err = a.ended.line(a.file, a.ending, about.id); err != nil {
			return err
		}
	}
	if seen != nil {
		var held bool
		if line, held = carried(a.ending, seen, line, false); held && !isHeld(seen) {
			before, _ := a.ending.about(seen)
			a.lost = append(a.lost, LostRecord{a.kind, shownID(about.id), before.seq, LossEnded})
		}
		about.ends = about.ends || held
	}
	if a.seen[about.id] = nil; about.ends {
		a.seen[about.id] = line
	}
	a.abouts = append(a.abouts, appended{about, line, a.size})
	a.put(line)
	return nil
}

func (a *appending) put(line []byte) {
	a.texts = append(a.texts, line)
	a.size += int64(len(line)) + 1
}

// recordLost makes durable what the lines would have brought back.
func (a *appending) recordLost() error {
	list := a.localCopy.lost
	for _, r := range a.lost {
		if !list.has(r.ID) {
			list = list.with([]LostRecord{r}, 1).published()
		}
	}
	return a.setLost(list)
}

// done is called when the lines are in the copy.
func (a *appending) done() {
	for i := range a.abouts {
		of := &a.abouts[i]
		a.ended.saw(a.kind, &of.about, of.line, of.at)
	}
}
