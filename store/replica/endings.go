package replica

import (
	"cmp"
	"errors"
	"slices"

	"keyward/store/journal"
)

// endings are the last lines of the present copy that end something, by what they are
// about.
type endings struct {
	of       *staged
	lacking  *lacking
	at       map[string]journal.LineRef
	taken    map[string]bool
	progress journal.Progress
	buf      []byte
}

func newEndings(s *staged) *endings {
	return &endings{of: s, lacking: newLacking(s.localCopy), at: map[string]journal.LineRef{}, taken: map[string]bool{}, progress: journal.Progress{Lines: s.lines(unknownIdentity)}}
}

func (e *endings) read() error {
	index := lineIndex{add: func(line []byte, at journal.LineRef) error {
		about, err := e.of.ending.about(line)
		if err != nil {
			return nil // readers step over it too
		}
		e.lacking.saw(&about)
		if about.ends {
			e.at[about.id] = at
		} else {
			delete(e.at, about.id)
		}
		return nil
	}}
	return index.read(&e.progress, e.of.t)
}

// take returns the line about that; nil if there is none. It is valid until the next.
func (e *endings) take(id string) ([]byte, error) {
	at, there := e.at[id]
	if !there {
		return nil, nil
	}
	e.taken[id] = true
	line, err := e.progress.ReadLine(at, e.buf)
	e.buf = line
	return line, err
}

// rest calls visit with the lines that were not taken.
func (e *endings) rest(visit func(id string, line []byte) error) error {
	ids := make([]string, 0, len(e.at))
	for id := range e.at {
		if !e.taken[id] {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(e.at[a].Number, e.at[b].Number) })
	for _, id := range ids {
		line, err := e.take(id)
		if err == nil {
			err = visit(id, line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lineIndex calls add for each line of a file.
type lineIndex struct {
	add func(line []byte, at journal.LineRef) error
	err error
}

// Reset implements journal.Index.
func (*lineIndex) Reset() {}

// Add implements journal.Index.
func (x *lineIndex) Add(line []byte, at journal.LineRef) {
	if x.err == nil && line != nil {
		x.err = x.add(line, at)
	}
}

func (x *lineIndex) read(p *journal.Progress, t *journal.LineTransaction) error {
	for {
		if done, err := p.AdvanceLocked(t, x); done || err != nil {
			return errors.Join(err, x.err)
		}
	}
}
