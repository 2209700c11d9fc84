package filestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"keyward/store"
	"keyward/store/audit"
	"keyward/store/auditindex"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

// AuditFileConfig is which audit log an AuditFile writes, and with what.
type AuditFileConfig struct {
	Path string
	// Keep is how long entries are kept at least; zero: forever.
	Keep      time.Duration
	StartOver bool             // begin a new file in place of a damaged one
	FS        filesystem.FS    // nil: the operating system's
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // for what an operator must know of the parts; nil discards it
}

// AuditFile is an audit log in a file. An entry is written, and synced, before the
// change that it is about, under a lock that is held until the change is durable. So
// at most the last entries of a file lack their change, where a writer died in
// between: the next writer closes them as not done. What is before the last entries may
// be in files of its own, the parts: see [auditParts].
type AuditFile struct {
	lines journal.Lines
	parts auditParts
	index *auditindex.Index
	now   func() time.Time

	mu      sync.Mutex
	targets map[string]ChangeStore // where changes are kept, by what they are of
	behind  []*audit.Entry         // of changes that were made while the log could not be written
	why     error                  // why it could not
}

// NewAuditFile touches nothing; the file is made by the first entry.
func NewAuditFile(cfg AuditFileConfig) *AuditFile {
	f := &AuditFile{now: cfg.Now, targets: map[string]ChangeStore{}}
	f.lines = journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: fileheader.Audit().Journal()}
	if f.lines.FS == nil {
		f.lines.FS = filesystem.OS()
	}
	if f.now == nil {
		f.now = time.Now
	}
	f.parts = auditParts{lines: &f.lines, keep: cfg.Keep, size: partSize, now: f.now, log: cfg.Log}
	if f.parts.log == nil {
		f.parts.log = slog.New(slog.DiscardHandler)
	}
	f.index = auditindex.New(auditindex.Log{Latest: &f.lines, Parts: f.parts.all})
	return f
}

// ChangeStore is where changes are kept that have an entry in the log.
type ChangeStore interface {
	// Made reports whether the change was made that has the number of its entry. It is
	// asked about the last change of all only.
	Made(seq int64) (bool, error)
}

// Watch says where the changes are kept of what the actions of that kind are about; see
// [audit.Action.Kind].
func (f *AuditFile) Watch(kind string, changes ChangeStore) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.targets[kind] = changes
}

// WatchLines is Watch for the records in a file.
func (f *AuditFile) WatchLines(kind string, lines *journal.Lines) { f.Watch(kind, recordLines{lines}) }

// recordLines are the lines of records, of which each has the number of its change.
type recordLines struct{ *journal.Lines }

// Made implements ChangeStore.
func (l recordLines) Made(seq int64) (bool, error) {
	made, err := l.Contains(fmt.Appendf(nil, `"seq":%d,`, seq), fmt.Appendf(nil, `"seq":%d}`, seq))
	if errors.Is(err, journal.ErrDamaged) {
		return true, nil // the file lost its lines, which says nothing of this one
	}
	return made, err
}

// Append implements store.AuditLog.
func (f *AuditFile) Append(ctx context.Context, entries ...*audit.Entry) error {
	return f.add(ctx, entries, false)
}

// Note implements store.AuditLog.
func (f *AuditFile) Note(ctx context.Context, entries ...*audit.Entry) error {
	return f.add(ctx, entries, true)
}

// Change implements store.AuditLog.
func (f *AuditFile) Change(ctx context.Context, e *audit.Entry, change func(seq int64) error) error {
	begun := false
	err := f.session(ctx, func(s *auditSession) error {
		begun = true
		return s.change(e, change)
	})
	if begun || err == nil || ctx.Err() != nil {
		return err
	}
	return (&auditSession{log: f, broken: err}).change(e, change)
}

func (f *AuditFile) add(ctx context.Context, entries []*audit.Entry, noSync bool) error {
	for _, e := range entries {
		if e.Outcome == audit.Done && e.Action.Changes() {
			return fmt.Errorf("%w: %w: %s is an entry of a change", store.ErrAudit, store.ErrInvalid, e.Action)
		}
	}
	return f.session(ctx, func(s *auditSession) error {
		s.lines.NoSync = noSync
		return s.append(entries)
	})
}

// List implements store.Lister, in the order of the entries' numbers. An entry that was
// closed is in the list once.
func (f *AuditFile) List(ctx context.Context, filter store.AuditFilter, page store.Page) ([]audit.Entry, store.Cursor, error) {
	return f.index.Page(ctx, filter, page)
}

// LoadIndex reads the log into memory, so that the first List need not.
func (f *AuditFile) LoadIndex(ctx context.Context) error { return f.index.Load(ctx) }

// Release frees what List keeps in memory.
func (f *AuditFile) Release() { f.index.Release() }

// Unwritten returns how many entries wait until the log can be written, and why it
// could not: those of changes that were made without it, since they only end something.
func (f *AuditFile) Unwritten() (entries int, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.behind), f.why
}

// session calls do with the log locked, and with every entry of an earlier writer
// that lacks its change closed.
func (f *AuditFile) session(ctx context.Context, do func(*auditSession) error) error {
	begun := false
	err := f.lines.Write(ctx, nil, func(t *journal.LineTransaction) error {
		s := &auditSession{log: f, lines: t}
		if err := s.open(); err != nil {
			return err
		}
		begun = true
		return do(s)
	})
	if err != nil && !begun && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", store.ErrAudit, err)
	}
	return err
}

// auditSession is one writer's turn at the log.
type auditSession struct {
	log    *AuditFile
	lines  *journal.LineTransaction
	last   int64 // the number of the last entry
	broken error // why the log cannot be written; nil if it can
}

// open finds the last entry, closes what a writer that died left, and adds what this
// process could not write before.
func (s *auditSession) open() error {
	tail, err := s.lines.Tail()
	if err != nil {
		return err
	}
	var entries []*audit.Entry
	for _, line := range tail {
		e, err := audit.Decode(line)
		if err != nil {
			return err
		}
		entries = append(entries, &e)
		s.last = e.Seq
	}
	if len(entries) == 0 {
		if s.last, err = s.log.parts.lastBefore(s.lines); err != nil {
			return err
		}
	}
	decided, err := s.recover(entries)
	if err == nil && decided && len(entries) > 0 {
		err = s.log.parts.rotate(s.lines, s.last)
	}
	if err != nil {
		return err
	}
	return s.catchUp()
}

// change writes the entry, and makes its change.
func (s *auditSession) change(e *audit.Entry, change func(seq int64) error) error {
	entries := []*audit.Entry{e}
	if err := s.append(entries); err != nil {
		return err
	}
	err := change(e.Seq)
	if err != nil {
		_, closed := s.recover(entries)
		err = errors.Join(err, closed)
	}
	return err
}

// recover closes the entries of the last append if their change was not made, and
// reports whether that is known. Their records are one append, so that the last of them
// speaks for all.
func (s *auditSession) recover(entries []*audit.Entry) (decided bool, err error) {
	if len(entries) == 0 {
		return true, nil
	}
	last := entries[len(entries)-1]
	if last.Outcome != audit.Done || last.Behind || !last.Action.Changes() {
		return true, nil
	}
	s.log.mu.Lock()
	target := s.log.targets[last.Action.Kind()]
	s.log.mu.Unlock()
	if target == nil {
		return false, nil
	}
	if made, err := target.Made(last.Seq); err != nil || made {
		return made, err
	}
	return true, s.notDone(entries)
}

// catchUp writes the entries that could not be written when their change was made.
func (s *auditSession) catchUp() error {
	s.log.mu.Lock()
	behind := s.log.behind
	s.log.mu.Unlock()
	if len(behind) == 0 {
		return nil
	}
	if err := s.write(behind); err != nil {
		return err
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.behind = s.log.behind[len(behind):]
	return nil
}

// append gives the entries their numbers and makes them durable. Where that fails,
// those of changes that only end something are kept for later, without a number.
func (s *auditSession) append(entries []*audit.Entry) error {
	now := s.log.now().UTC()
	for _, e := range entries {
		e.Time = now
	}
	err := s.broken
	if err == nil {
		err = s.write(entries)
	}
	if err == nil {
		return nil
	}
	if slices.ContainsFunc(entries, func(e *audit.Entry) bool { return !e.Action.Ends() || e.Outcome != audit.Done || !writable(e) }) {
		if errors.Is(err, store.ErrAudit) {
			return err
		}
		return fmt.Errorf("%w: %w", store.ErrAudit, err)
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, e := range entries {
		e.Seq, e.Behind = 0, true
	}
	s.log.behind, s.log.why = append(s.log.behind, entries...), err
	return nil
}

// writable reports whether the entry can be a line. One that cannot would stand in
// the way of every later entry, if it were kept.
func writable(e *audit.Entry) bool {
	numbered := *e
	numbered.Seq = 1
	_, err := numbered.Line()
	return err == nil
}

// write numbers the entries on from the last one and appends them.
func (s *auditSession) write(entries []*audit.Entry) error {
	for i, e := range entries {
		e.Seq = s.last + int64(i) + 1
	}
	if err := s.rewrite(entries); err != nil {
		return err
	}
	s.last += int64(len(entries))
	return nil
}

// notDone closes entries whose change was not made.
func (s *auditSession) notDone(entries []*audit.Entry) error {
	closed := make([]*audit.Entry, 0, len(entries))
	for _, e := range entries {
		c := *e
		c.Outcome = audit.NotDone
		closed = append(closed, &c)
	}
	return s.rewrite(closed)
}

// rewrite appends the entries under the numbers that they have.
func (s *auditSession) rewrite(entries []*audit.Entry) error {
	return appendLines(s.lines, len(entries), func(i int) ([]byte, error) { return entries[i].Line() })
}
