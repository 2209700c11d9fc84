package filestore

import (
	"context"

	"keyward/store/journal"
)

// HeldAudit is an audit log that no other program writes meanwhile.
type HeldAudit struct {
	ctx context.Context
	s   *auditSession
}

// Hold calls do under the lock that every writer of the log takes, and so every program
// that changes records whose changes are in it. Each entry of an earlier writer that
// lacks its change is closed. ctx ends the wait for the lock, and reading.
func (f *AuditFile) Hold(ctx context.Context, do func(*HeldAudit) error) error {
	return f.session(ctx, func(s *auditSession) error { return do(&HeldAudit{ctx, s}) })
}

// Last is the number of the last entry; zero if there never was one.
func (h *HeldAudit) Last() int64 { return h.s.last }

// Each calls visit for each line of the log, those of its parts first. An entry that was
// closed has two lines, of which the later one counts.
func (h *HeldAudit) Each(visit func(line []byte) error) error {
	parts, err := h.s.log.parts.all()
	if err != nil {
		return err
	}
	each := func(line []byte, _ int) error { return visit(journal.Unbatched(line)) }
	for _, part := range parts {
		if err := part.Read(h.ctx, each); err != nil {
			return err
		}
	}
	return h.s.lines.Read(each)
}
