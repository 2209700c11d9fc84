package replica

import (
	"bytes"
	"fmt"
	"time"
)

// ending is what there is to know of the lines of one kind, so that what has ended by
// one of them stays ended whatever a restored database says.
type ending interface {
	// about returns what the line is about. The error is a jsonline.Error.
	about(line []byte) (about, error)
	// plain reports whether the line ends nothing, and which record it can be about
	// then. It sees that without decoding the line, and not of every one.
	plain(line []byte) (id []byte, ok bool)
	// inherit returns the line next, changed so that what ended by the line seen, which
	// is about the same record, stays ended; nil if it stays so by next itself. next is a
	// later change, which may enable what was disabled, or the database was restored.
	inherit(seen, next []byte, restored bool) ([]byte, error)
	// orphan returns the line seen, changed so that all that it is about has ended: the
	// database lacks the record, and may get one of that name again.
	orphan(seen []byte) ([]byte, error)
}

// about is what a line is about.
type about struct {
	id    string
	seq   int64
	ends  bool // something, so that another line must not take its place unseen
	ended bool // it gives access to nothing
}

// decoder decodes lines into one record, which is valid until the next one.
type decoder[R any] interface {
	Decode(line []byte) (*R, error)
}

// recordEnding is the ending of the lines of records.
type recordEnding[R any] struct {
	lines   decoder[R]        // used again for each line
	another func() decoder[R] // makes one
	of      func(r *R, line []byte) about
	// carry changes next so that what ended by seen stays ended, and reports whether
	// there was something to change.
	carry func(seen, next *R) bool
	// later is carry where next is a later change; nil: nothing that has ended may be
	// active again by one.
	later func(seen, next *R) bool
	flat  func(line []byte) (id []byte, ok bool) // plain; nil: it is not seen of any line
	end   func(*R)                               // ends a record, where it has not ended yet
	line  func(*R) ([]byte, error)
}

func (e *recordEnding[R]) about(line []byte) (about, error) {
	r, err := e.lines.Decode(line)
	if err != nil {
		return about{}, err
	}
	return e.of(r, line), nil
}

func (e *recordEnding[R]) plain(line []byte) (id []byte, ok bool) {
	if e.flat == nil {
		return nil, false
	}
	return e.flat(line)
}

func (e *recordEnding[R]) inherit(seen, next []byte, restored bool) ([]byte, error) {
	carry := e.carry
	if !restored && e.later != nil {
		carry = e.later
	}
	before, err := e.another().Decode(seen)
	if err != nil {
		return nil, err
	}
	after, err := e.lines.Decode(next)
	if err != nil || !carry(before, after) {
		return nil, err
	}
	return e.encode(after)
}

func (e *recordEnding[R]) orphan(seen []byte) ([]byte, error) {
	r, err := e.lines.Decode(seen)
	if err != nil {
		return nil, err
	}
	if e.of(r, seen).ended {
		return seen, nil
	}
	e.end(r)
	return e.encode(r)
}

func (e *recordEnding[R]) encode(r *R) ([]byte, error) {
	line, err := e.line(r)
	if err != nil {
		return nil, fmt.Errorf("carrying over what has ended: %w", err)
	}
	return bytes.TrimSuffix(line, []byte("\n")), nil
}

// endingOf returns the ending of the kind's lines; false for a kind that there is not.
func endingOf(kind Kind, now func() time.Time) (ending, bool) {
	switch kind {
	case Keys:
		return keyEnding(), true
	case Users:
		return userEnding(), true
	case Projects:
		return projectEnding(), true
	case Clients:
		return clientEnding(), true
	case Revocations:
		return revocationEnding(now), true
	default:
		return nil, false
	}
}
