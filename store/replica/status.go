package replica

import (
	"context"
	"maps"
	"time"
)

// Reason is why all copies were begun again with a snapshot.
type Reason string

// The reasons.
const (
	ReasonStart   Reason = "start"   // there was no copy, or not that of this database
	ReasonGap     Reason = "gap"     // the journal was cut behind what the copies have
	ReasonHistory Reason = "history" // the journal is another one than that of the copies
	ReasonSchema  Reason = "schema"  // the copies were made by a version with other kinds of records
)

// Reasons returns all reasons.
func Reasons() []Reason { return []Reason{ReasonStart, ReasonGap, ReasonHistory, ReasonSchema} }

// Status is how a replica is.
type Status struct {
	Name     string
	Up       bool      // the source answered the last call
	Contact  time.Time // when the source was last read, also by an earlier process; zero: never
	Identity string
	Epoch    string
	Applied  int64             // the journal's line up to which the copies are
	Last     int64             // the journal's last line, as of Contact
	Held     int               // records that stay ended although the database says otherwise
	Lost     Lost              // what the copies had and the database lacks, until that is accepted
	Resyncs  map[Reason]uint64 // since the start of the process
	Err      error             // the last; nil while Up
}

// Behind returns up to how many lines the copies lack.
func (s *Status) Behind() int64 { return max(0, s.Last-s.Applied) }

// Status returns how the replica is.
func (p *Puller) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.Resyncs = maps.Clone(s.Resyncs)
	return s
}

// Stale reports whether nothing was heard from the source for longer than MaxStaleness.
// It reads memory only. The clock of the day goes on while a machine is suspended, and the
// monotonic one is not set back: the greater age counts.
func (p *Puller) Stale() bool {
	if p.cfg.MaxStaleness <= 0 {
		return false
	}
	contact := p.contact.Load()
	if contact == nil {
		return true
	}
	now := p.cfg.Now()
	age, byDay := now.Sub(*contact), now.Round(0).Sub(contact.Round(0))
	return age < 0 || byDay < 0 || max(age, byDay) > p.cfg.MaxStaleness
}

// heardAt records that the source was read at that time.
func (p *Puller) heardAt(at time.Time) {
	p.contact.Store(&at)
	p.update(func(s *Status) { s.Contact = at })
}

// recallContact takes over what the files say of the last contact, the earliest of them.
// A time that is in the future is that of a clock that was wrong, and says nothing; nor does
// one of another source.
func (p *Puller) recallContact() {
	var earliest time.Time
	for i, c := range p.copies {
		got, found, err := readProgress(c.files, c.path)
		if err != nil || !found || got.Contact.IsZero() || got.Contact.After(p.cfg.Now()) || got.Origin != p.cfg.Origin {
			return
		}
		if i == 0 || got.Contact.Before(earliest) {
			earliest = got.Contact
		}
	}
	if now := p.contact.Load(); now == nil || earliest.After(*now) {
		p.heardAt(earliest)
	}
}

func (p *Puller) update(change func(*Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.status.Applied
	change(&p.status)
	if p.status.Applied > before {
		close(p.progressed)
		p.progressed = make(chan struct{})
	}
}

// Await has the source read now, and returns nil once the copies have the change with
// the number. They are written then, and not yet in force.
func (p *Puller) Await(ctx context.Context, seq int64) error {
	p.ring()
	for {
		p.mu.Lock()
		applied, progressed := p.status.Applied, p.progressed
		p.mu.Unlock()
		if applied >= seq {
			return nil
		}
		select {
		case <-progressed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ring has the source read now.
func (p *Puller) ring() {
	select {
	case p.wake <- struct{}{}:
	default: // that is due already
	}
}
