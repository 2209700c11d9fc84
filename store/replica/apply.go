package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/store/jsonline"
)

var (
	errHistory = errors.New("the journal has another history than the copies")
	errOrder   = errors.New("the source has lines that are not in the order of their numbers")
)

// load reads how far the copies are.
func (p *Puller) load(ctx context.Context) error {
	p.unforced = map[*localCopy]int64{}
	for i, c := range p.copies {
		if err := c.load(ctx); err != nil {
			return err
		}
		if i == 0 || c.Seq < p.at {
			p.at, p.digest = c.Seq, c.Digest
		}
		p.unforced[c] = c.applied
	}
	p.countLost()
	return nil
}

// pull reads a page of the journal and applies it, or begins the copies again. It reports
// whether there is more to read.
func (p *Puller) pull(ctx context.Context) (more bool, err error) {
	if reason, ok := p.unfit(); ok {
		return true, p.resync(ctx, reason)
	}
	began := p.cfg.Now()
	p.read = began
	page, err := p.readPage(ctx)
	if err == nil {
		err = p.compare(&page)
	}
	switch {
	case errors.Is(err, ErrGap):
		return true, p.resync(ctx, ReasonGap)
	case errors.Is(err, errHistory):
		return true, p.resync(ctx, ReasonHistory)
	case err != nil:
		return false, err
	}
	if accepted := p.accept.Load() || !p.copies[0].seenEpoch(page.Epoch); accepted && p.held() > 0 {
		return true, p.resync(ctx, ReasonHistory)
	} else if accepted {
		if err := p.nothingHeld(page.Epoch); err != nil {
			return false, err
		}
	}
	if err := p.apply(ctx, page.Lines); err != nil {
		return false, err
	}
	p.heardAt(began)
	p.inVain = 0
	p.noteBeyond(page.Beyond)
	p.update(func(s *Status) {
		s.Up, s.Err, s.Identity, s.Epoch, s.Applied, s.Last, s.Held = true, nil, page.Identity, page.Epoch, p.at, page.Last, p.held()
	})
	return p.at < page.Last, p.save(ctx)
}

// noteBeyond logs lines behind the last change, when there are others than before.
func (p *Puller) noteBeyond(seq int64) {
	if seq != p.beyond && seq != 0 {
		p.cfg.Log.Error("the store's journal has lines behind the last change, which no Keyward has written: they are not applied", "seq", seq)
	}
	p.beyond = seq
}

// nothingHeld is for a restore that was accepted while the copies are what the database
// says.
func (p *Puller) nothingHeld(epoch string) error {
	for _, c := range p.copies {
		if err := c.setLost(lostList{}); err != nil {
			return err
		}
		c.addEpoch(epoch)
		c.saved = time.Time{} // so that it is made durable
	}
	p.accept.Store(false)
	p.countLost()
	return nil
}

func (p *Puller) readPage(ctx context.Context) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	page, err := p.cfg.Source.Read(ctx, p.at, pageLines)
	page.confine()
	return page, err
}

// confine leaves out what is behind the last change, and marks that only a copy has.
func (page *Page) confine() {
	if page.At != nil && page.At.Seq > page.Last {
		page.At = nil
	}
	n := len(page.Lines)
	for n > 0 && page.Lines[n-1].Seq > page.Last {
		n--
	}
	page.Lines = page.Lines[:n]
	for i := range page.Lines {
		page.Lines[i].Text = unmarked(page.Lines[i].Text)
	}
	if page.At != nil {
		page.At.Text = unmarked(page.At.Text)
	}
}

// unfit returns why the copies cannot be continued by the journal.
func (p *Puller) unfit() (Reason, bool) {
	for _, c := range p.copies {
		switch {
		case !c.known:
			return ReasonStart, true
		case c.Resync != "":
			return c.Resync, true
		case c.Version != progressVersion:
			return ReasonSchema, true
		case c.Identity != p.copies[0].Identity:
			return ReasonHistory, true
		}
	}
	return "", false
}

// held returns how many records stay ended although the database says otherwise.
func (p *Puller) held() int {
	n := 0
	for _, c := range p.copies {
		n += len(c.ended.held)
	}
	return n
}

// compare returns errHistory unless the page continues what each copy has.
func (p *Puller) compare(page *Page) error {
	if page.Identity != p.copies[0].Identity || p.at > 0 && (page.At == nil || page.At.Seq != p.at) {
		return errHistory
	}
	before := p.at
	for i := range page.Lines {
		if page.Lines[i].Seq <= before {
			return errOrder
		}
		before = page.Lines[i].Seq
	}
	for _, c := range p.copies {
		if err := c.compare(p.at, page); err != nil {
			return err
		}
	}
	return nil
}

// compare returns errHistory unless the page, which begins at the line from, has the
// lines that the copy has of the same stretch.
func (c *localCopy) compare(from int64, page *Page) error {
	if page.Last < c.applied {
		return errHistory
	}
	end := page.Last
	if n := len(page.Lines); n > 0 && page.Lines[n-1].Seq < end {
		end = page.Lines[n-1].Seq
	}
	reached := c.Seq == from && (from == 0 || page.At.digest() == c.Digest)
	missing := 0
	for seq := range c.behind {
		if seq > from && seq <= end {
			missing++
		}
	}
	for i := range page.Lines {
		l := &page.Lines[i]
		if l.Seq == c.Seq {
			reached = l.digest() == c.Digest
		}
		if l.Kind != c.kind || l.Seq <= c.Seq || l.Seq > c.applied {
			continue
		}
		digest, there := c.behind[l.Seq]
		switch {
		case there && (digest == "" || digest == l.digest()):
			missing--
		case there || c.readable(l.Text):
			return errHistory
		}
	}
	if end >= c.Seq && !reached || missing != 0 {
		return errHistory
	}
	return nil
}

// readable reports whether the line is appended, and readers do not step over it.
func (c *localCopy) readable(line []byte) bool {
	if checkLine(line) != nil {
		return false
	}
	_, err := c.ending.about(line)
	var bad jsonline.Error
	return !errors.As(err, &bad)
}

// apply appends the lines to the copies of their kinds, and has each in force before a
// later one is appended to another copy.
func (p *Puller) apply(ctx context.Context, lines []Line) error {
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && lines[n].Kind == lines[0].Kind {
			n++
		}
		if err := p.applyRun(ctx, lines[:n]); err != nil {
			return err
		}
		last := &lines[n-1]
		p.at, p.digest = last.Seq, last.digest()
		lines = lines[n:]
	}
	for _, c := range p.copies {
		if c.Seq < p.at {
			c.Seq, c.Digest, c.applied = p.at, p.digest, max(c.applied, p.at)
		}
		for seq := range c.behind {
			if seq <= p.at {
				delete(c.behind, seq)
			}
		}
	}
	return nil
}

// applyRun appends lines of one kind. Those that the copy has already were appended
// before a crash.
func (p *Puller) applyRun(ctx context.Context, lines []Line) error {
	for _, c := range p.copies {
		if c.kind != lines[0].Kind {
			continue
		}
		for len(lines) > 0 && lines[0].Seq <= c.applied {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			return nil
		}
		if err := p.await(ctx, c); err != nil {
			return err
		}
		did, err := c.append(ctx, lines)
		if err != nil {
			return err
		}
		p.noteAppended(did)
		p.unforced[c] = c.applied
	}
	return nil // of a kind that this replica has no copy of
}

// noteAppended logs what was not appended as the journal has it.
func (p *Puller) noteAppended(a *appending) {
	if a.skipped > 0 {
		p.cfg.Log.Error("the store's journal has lines that no reader takes: they are left out", "kind", a.kind, "lines", a.skipped)
	}
	if len(a.lost) > 0 {
		p.cfg.Log.Error("the store's journal would bring back what has ended: it stays ended until that is accepted", "kind", a.kind, "records", len(a.lost))
		p.countLost()
	}
}

// await waits until all that was written to copies other than one is in force.
func (p *Puller) await(ctx context.Context, but *localCopy) error {
	for _, c := range p.copies {
		seq, waiting := p.unforced[c]
		if c == but || !waiting {
			continue
		}
		if err := p.cfg.Await(ctx, c.kind, seq); err != nil {
			return fmt.Errorf("waiting until %q is in force: %w", c.path, err)
		}
		delete(p.unforced, c)
	}
	return nil
}

// save makes the progress durable of the copies that lines were appended to, and of all
// when the last contact is to be.
func (p *Puller) save(ctx context.Context) error {
	contact := *p.contact.Load()
	for _, c := range p.copies {
		// A clock that was set back leaves a time in the future there.
		if age := contact.Sub(c.saved); c.size == c.Size && age >= 0 && age < contactEvery {
			continue
		}
		c.Contact, c.Origin = contact.Round(0), p.cfg.Origin
		if err := c.save(ctx); err != nil {
			return err
		}
	}
	return nil
}
