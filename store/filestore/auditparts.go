package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"keyward/store/audit"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

const (
	// partSize is the size in bytes from which a log is begun again.
	partSize = 16 << 20
	// partsKept is how many parts a log has at least that is written for as long as its
	// entries are kept. An entry is kept until the last one of its part is old enough.
	partsKept = 20
	// rotateAgain is how long no other attempt is made after one that failed: each copies
	// the log.
	rotateAgain = time.Minute
)

// auditParts are the files of an audit log. The log is begun again when it is large or
// its first entry is old: what it has until then becomes a part, audit.NUMBER.jsonl,
// with the number of its last entry. A part never changes. Of its
// entries it is known whether their changes were made: no writer looks for a change there.
type auditParts struct {
	lines *journal.Lines
	keep  time.Duration
	size  int64
	now   func() time.Time
	log   *slog.Logger

	mu     sync.Mutex
	failed time.Time // the last attempt to begin the log again
}

// auditPart is one part.
type auditPart struct {
	path string
	last int64 // the number of its last entry
}

// partOf is the part of the log at the path that ends with that entry.
func partOf(path string, last int64) auditPart {
	ext := filepath.Ext(path)
	return auditPart{fmt.Sprintf("%s.%012d%s", strings.TrimSuffix(path, ext), last, ext), last}
}

func (p *auditParts) files() filesystem.FS { return p.lines.FS }

// AuditParts returns the paths of the parts of the audit log at the path, which is
// resolved, in their order.
func AuditParts(files filesystem.FS, path string) ([]string, error) {
	parts, err := (&auditParts{lines: &journal.Lines{Writer: journal.Writer{FS: files}}}).list(path)
	paths := make([]string, 0, len(parts))
	for _, part := range parts {
		paths = append(paths, part.path)
	}
	return paths, err
}

// list returns the parts of the log at the path, which is resolved, in their order.
func (p *auditParts) list(path string) ([]auditPart, error) {
	names, err := p.files().Names(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the parts of %q: %w", path, err)
	}
	ext := filepath.Ext(path)
	prefix := strings.TrimSuffix(filepath.Base(path), ext) + "."
	var parts []auditPart
	for _, name := range names {
		digits, ok := strings.CutPrefix(strings.TrimSuffix(name, ext), prefix)
		last, err := strconv.ParseInt(digits, 10, 64)
		if !ok || err != nil || last <= 0 {
			continue
		}
		if part := partOf(path, last); filepath.Base(part.path) == name {
			parts = append(parts, part)
		}
	}
	slices.SortFunc(parts, func(a, b auditPart) int { return int(a.last - b.last) })
	return parts, nil
}

// lastBefore returns the number of the last entry before a log that has none.
func (p *auditParts) lastBefore(t *journal.LineTransaction) (int64, error) {
	if first := t.First(); first != nil {
		h, err := fileheader.Read(first)
		if err != nil || h.Last > 0 {
			return h.Last, err
		}
	}
	parts, err := p.list(t.Path())
	if err != nil || len(parts) == 0 {
		return 0, err
	}
	return parts[len(parts)-1].last, nil
}

// rotate begins the log again if it is time. Its last entry has the number last, and of
// all it is known whether their changes were made. A log that cannot be begun again goes
// on.
func (p *auditParts) rotate(t *journal.LineTransaction, last int64) error {
	due, err := p.due(t)
	if err != nil || !due {
		return err
	}
	err = RotateAudit(t, last)
	if err == nil {
		err = p.prune(t.Path())
		if err != nil {
			p.log.Error("audit log: old parts cannot be deleted", "file", t.Path(), "error", err)
		}
		return nil
	}
	if !errors.Is(err, journal.ErrNotRotated) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = p.now()
	p.log.Error("audit log: no new part can be begun, the file goes on", "file", t.Path(), "error", err)
	return nil
}

// RotateAudit begins an audit log again: what it has, of which the last entry has the
// number last, becomes a part. See [journal.LineTransaction.Rotate].
func RotateAudit(t *journal.LineTransaction, last int64) error {
	h := fileheader.AuditFrom(last)
	line := h.Journal().Line
	if t.First() != nil {
		var err error
		if line, err = h.Renew(t.First()); err != nil {
			return err
		}
	}
	return t.Rotate(partOf(t.Path(), last).path, line)
}

// due reports whether it is time to begin the log again.
func (p *auditParts) due(t *journal.LineTransaction) (bool, error) {
	p.mu.Lock()
	failed := p.failed
	p.mu.Unlock()
	now := p.now()
	if !failed.IsZero() && now.Sub(failed) < rotateAgain {
		return false, nil
	}
	if t.Size() >= p.size || p.keep == 0 {
		return t.Size() >= p.size, nil
	}
	var oldest time.Time
	err := t.Read(func(line []byte, _ int) error {
		e, err := audit.Decode(journal.Unbatched(line))
		oldest = e.Time
		return errors.Join(err, errEnough)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return false, err
	}
	return now.Sub(oldest) >= p.keep/partsKept, nil
}

// errEnough ends the reading of lines.
var errEnough = errors.New("that was enough")

// prune deletes the parts whose entries are older than they are kept.
func (p *auditParts) prune(path string) error {
	if p.keep == 0 {
		return nil
	}
	parts, err := p.list(path)
	for _, part := range parts {
		var tail [][]byte
		of := p.of(part)
		if tail, err = of.Tail(); err != nil {
			break
		}
		var old bool
		if old, err = p.old(tail); err != nil || !old {
			break
		}
		if err = p.files().Remove(part.path); err != nil {
			break
		}
	}
	return err
}

// old reports whether entries that end with these lines need not be kept.
func (p *auditParts) old(tail [][]byte) (bool, error) {
	if len(tail) == 0 {
		return true, nil
	}
	e, err := audit.Decode(tail[len(tail)-1])
	return err == nil && p.now().Sub(e.Time) >= p.keep, err
}

func (p *auditParts) of(part auditPart) *journal.Lines {
	return &journal.Lines{Writer: journal.Writer{Path: part.path, FS: p.lines.FS}, Header: p.lines.Header}
}

// all returns the files of the parts, in their order.
func (p *auditParts) all() ([]*journal.Lines, error) {
	path, err := p.files().Resolve(p.lines.Path)
	if errors.Is(err, fs.ErrNotExist) { // the directory
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parts, err := p.list(path)
	if err != nil {
		return nil, err
	}
	all := make([]*journal.Lines, len(parts))
	for i, part := range parts {
		all[i] = p.of(part)
	}
	return all, nil
}
