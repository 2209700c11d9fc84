package replica

import (
	"hash/maphash"

	"keyward/store/journal"
)

// lacking compares the records of a copy with a snapshot that is to take its place. For
// each record it has 16 bytes; two whose ids have one hash are taken for one, which may
// hide one from the list.
type lacking struct {
	kind   Kind
	seed   maphash.Seed
	latest map[uint64]int64 // the latest number that the copy has, of what the snapshot was not compared with
	listed map[string]bool  // that was lost before
	found  []LostRecord
	total  int
}

func newLacking(c *localCopy) *lacking {
	l := &lacking{kind: c.kind, seed: maphash.MakeSeed(), latest: map[uint64]int64{}, listed: map[string]bool{}}
	for _, r := range c.lost.Records {
		l.listed[r.ID] = true
	}
	return l
}

// saw is called with each line of the copy. A snapshot that was interrupted may have
// appended its own lines, which are earlier.
func (l *lacking) saw(a *about) {
	if a.ended && !a.ends {
		return // a revocation that is over: the database removes it
	}
	at := maphash.String(l.seed, a.id)
	if seq, there := l.latest[at]; !there || seq < a.seq {
		l.latest[at] = a.seq
	}
}

// take returns the latest number of the record, and whether the copy has it. It is not
// missing then.
func (l *lacking) take(id string) (seq int64, there bool) {
	at := maphash.String(l.seed, id)
	seq, there = l.latest[at]
	delete(l.latest, at)
	return seq, there
}

// compare is called with each record of the snapshot. seen is the line of the copy by
// which something has ended, nil if there is none, and held that it stays so.
func (l *lacking) compare(a *about, seen []byte, held bool) {
	seq, there := l.take(a.id)
	switch {
	case !there || isHeld(seen): // it was lost before
	case held:
		l.add(LostRecord{l.kind, a.id, seq, LossEnded})
	case seq > a.seq:
		l.add(LostRecord{l.kind, a.id, seq, LossOlder})
	}
}

// orphan is called with each record that has ended by the line seen, and that the
// snapshot lacks.
func (l *lacking) orphan(id string, seen []byte) {
	if seq, there := l.take(id); there && !isHeld(seen) {
		l.add(LostRecord{l.kind, id, seq, LossEnded})
	}
}

func (l *lacking) add(r LostRecord) {
	r.ID = shownID(r.ID)
	if l.listed[r.ID] {
		return
	}
	if l.total++; len(l.found) < MaxLost {
		l.found = append(l.found, r)
	}
}

// missing adds the records that the snapshot had none for, which are in the copy. They
// are few, or the database lacks most: only then is the copy read again.
func (l *lacking) missing(s *staged) error {
	if len(l.latest) == 0 {
		return nil
	}
	p := journal.Progress{Lines: s.lines(unknownIdentity)}
	defer p.Forget()
	index := lineIndex{add: func(line []byte, _ journal.LineRef) error {
		a, err := s.ending.about(line)
		if err != nil {
			return nil // readers step over it too
		}
		if seq, there := l.latest[maphash.String(l.seed, a.id)]; there && seq == a.seq {
			_, _ = l.take(a.id)
			l.add(LostRecord{l.kind, a.id, seq, LossMissing})
		}
		return nil
	}}
	return index.read(&p, s.t)
}
