package replica

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"time"

	"keyward/store/journal"
)

// endingsAtOnce is how many lines are appended at once of what a snapshot ends.
const endingsAtOnce = 256

var errInterrupted = errors.New("another program replaced a copy while a snapshot was written")

// rebuild writes all copies again from a snapshot.
type rebuild struct {
	puller   *Puller
	from     Snapshot
	head     Head
	last     *Line
	contact  time.Time
	watch    *time.Timer
	accepted bool // what has ended here may be active again
	staged   []*staged
}

// staged is a copy that is written and not yet in its place.
type staged struct {
	*localCopy
	t     *journal.LineTransaction
	draft *journal.Draft
	out   *bufio.Writer
	size  int64
	ended *endedLines // of the draft
	left  int         // records that were left out
	// endings are to be appended to the present copy, which is in force until all are
	// written.
	endings [][]byte
}

func (r *rebuild) position() (seq int64, digest string) {
	if r.last == nil {
		return 0, ""
	}
	last := *r.last
	last.Text = unmarked(last.Text)
	return last.Seq, last.digest()
}

// mark makes durable that the copies begin again. A snapshot that was accepted and is
// interrupted is accepted again if the history then is that of the snapshot: what it
// ends may have reached the copies.
func (r *rebuild) mark(reason Reason) error {
	for _, c := range r.puller.copies {
		if r.head.Identity != c.Identity {
			c.Epochs = nil
		}
		if !r.accepted {
			c.addEpoch(r.head.Epoch)
		}
		c.Identity, c.Resync, c.Version = r.head.Identity, reason, progressVersion
		c.Seq, c.Digest = r.position()
		if err := c.saveProgress(); err != nil {
			return err
		}
	}
	return nil
}

// stage writes a draft of each copy, and then puts all in their places.
func (r *rebuild) stage(ctx context.Context, copies []*localCopy) error {
	if len(copies) == 0 {
		return r.publish(ctx)
	}
	c, begun := copies[0], false
	return c.lines(r.head.Identity).Write(ctx, nil, func(t *journal.LineTransaction) error {
		if begun {
			return errInterrupted // the snapshot was read
		}
		begun = true
		draft, err := t.Draft()
		if err != nil {
			return err
		}
		defer draft.Discard()
		s := &staged{localCopy: c, t: t, draft: draft, ended: newEndedLines()}
		s.out = bufio.NewWriterSize(draft, 64<<10)
		if err := r.write(ctx, s); err != nil {
			return err
		}
		r.staged = append(r.staged, s)
		return r.stage(ctx, copies[1:])
	})
}

// write writes the draft of a copy.
func (r *rebuild) write(ctx context.Context, s *staged) error {
	header := s.lines(r.head.Identity).Header
	first, err := header.Line, error(nil)
	if s.t.First() != nil {
		first, err = header.Renew(s.t.First())
	}
	if err != nil {
		return err
	}
	if err := s.put(bytes.TrimSuffix(first, []byte("\n"))); err != nil {
		return err
	}
	seen := newEndings(s)
	defer seen.progress.Forget()
	if !r.accepted {
		if err := seen.read(); err != nil {
			return err
		}
	}
	err = r.from.Each(ctx, s.kind, func(id, line []byte) error {
		r.watch.Reset(silence)
		return s.take(id, line, seen)
	})
	if err == nil {
		err = s.keepOrphans(seen)
	}
	if err == nil {
		err = s.appendEndings()
	}
	if err == nil {
		err = s.out.Flush()
	}
	if err == nil {
		err = s.recordLost(seen.lacking)
	}
	if s.left > 0 {
		r.puller.cfg.Log.Error("the store has records that no reader takes: they are left out", "kind", s.kind, "records", s.left)
	}
	return err
}

// recordLost makes durable what the snapshot lacks, as long as the copy still has it.
func (s *staged) recordLost(l *lacking) error {
	if err := l.missing(s); err != nil {
		return err
	}
	return s.setLost(s.lost.with(l.found, l.total))
}

// take writes the line of a record as the snapshot has it, or as it has to be so that what
// has ended stays so. A line that is about another record than its row is left out: it
// would be a second one about that record.
func (s *staged) take(id, line []byte, seen *endings) error {
	line = unmarked(line)
	if checkLine(line) != nil {
		s.left++
		return nil
	}
	nothingSeen := s.t.File() == nil
	if of, plain := s.ending.plain(line); nothingSeen && plain && bytes.Equal(of, id) {
		return s.put(line)
	}
	about, err := s.ending.about(line)
	if err != nil {
		return s.put(line) // readers step over it too
	}
	if s.kind != Revocations && about.id != string(id) {
		s.left++
		return nil
	}
	if nothingSeen {
		return s.putAbout(&about, line)
	}
	before, err := seen.take(about.id)
	if err != nil {
		return err
	}
	held := false
	if before != nil {
		line, held = carried(s.ending, before, line, true)
	}
	seen.lacking.compare(&about, before, held)
	if about.ended && !bytes.Equal(line, before) {
		s.endings = append(s.endings, bytes.Clone(line))
		if len(s.endings) == endingsAtOnce {
			if err := s.appendEndings(); err != nil {
				return err
			}
		}
	}
	about.ends = about.ends || held
	return s.putAbout(&about, line)
}

// keepOrphans writes what has ended of records that the snapshot lacks.
func (s *staged) keepOrphans(seen *endings) error {
	return seen.rest(func(id string, before []byte) error {
		seen.lacking.orphan(id, before)
		line, err := s.ending.orphan(before)
		if err != nil || checkLine(marked(line)) != nil {
			line = before
		}
		return s.putAbout(&about{id: id, ends: true}, marked(line))
	})
}

// putAbout writes a line that may end something.
func (s *staged) putAbout(a *about, line []byte) error {
	s.ended.saw(s.kind, a, line, s.size)
	return s.put(line)
}

func (s *staged) put(line []byte) error {
	s.size += int64(len(line)) + 1
	_, err := s.out.Write(line)
	if err == nil {
		err = s.out.WriteByte('\n')
	}
	return err
}

// publish puts the drafts in their places. The copies cannot all be exchanged in one
// step. So what the snapshot ends was appended to the present ones first: in between,
// nothing is active that has ended in the snapshot.
func (r *rebuild) publish(ctx context.Context) error {
	p := r.puller
	r.watch.Stop()
	for _, s := range r.staged {
		p.unforced[s.localCopy] = s.applied
	}
	// A present copy that is missing or damaged is never in force. What it lacks comes
	// with the draft.
	if err := p.await(ctx, nil); ctx.Err() != nil {
		return err
	} else if err != nil {
		p.cfg.Log.Warn("what the snapshot ends is not in force before it", "error", err)
		clear(p.unforced)
	}
	for _, s := range r.staged {
		if err := s.draft.Publish(); err != nil {
			return err
		}
		if err := s.finish(r); err != nil {
			return err
		}
		p.unforced[s.localCopy] = s.applied
		if err := p.await(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// finish makes the progress durable of a copy that is the snapshot.
func (s *staged) finish(r *rebuild) error {
	c, lost := s.localCopy, s.lost.published()
	if r.accepted {
		lost = lostList{}
	}
	if err := c.setLost(lost); err != nil {
		return err
	}
	c.addEpoch(r.head.Epoch)
	c.Resync, c.known = "", true
	c.Contact, c.Origin = r.contact.Round(0), r.puller.cfg.Origin
	c.applied, c.behind, c.ended, c.size = c.Seq, map[int64]string{}, s.ended, s.size
	return c.saveIn(s.t)
}

// appendEndings appends to the present copy what the snapshot ends.
func (s *staged) appendEndings() error {
	if len(s.endings) == 0 {
		return nil
	}
	lines := s.endings
	s.endings = nil
	return s.t.Append(writing(lines))
}
