package filestore

import (
	"context"
	"fmt"
	"time"

	"keyward/store"
	"keyward/store/journal"
)

// recordFile is a file of records of which there are few: each call reads the entire
// file. It has the guarantees of [KeyFile].
type recordFile[R, F any] struct {
	lines      journal.Lines
	kind       string // of the records, as in audit.Action.Kind
	newDecoder func() decoder[R]
	position   func(*R) store.Position
	deleted    func(*R) time.Time
	clone      func(*R) R
	match      func(*F, *R) bool
	line       func(r *R, seq int64) ([]byte, error) // of the record as that of the change seq
}

// Get implements store.Reader. A line that cannot be read is skipped, as servers do.
func (f *recordFile[R, F]) Get(ctx context.Context, id string) (R, error) {
	return f.get(id, unlocked(ctx, &f.lines))
}

// List implements store.Lister. A line that cannot be read is an error.
func (f *recordFile[R, F]) List(ctx context.Context, filter F, page store.Page) ([]R, store.Cursor, error) {
	all, err := f.latest(unlocked(ctx, &f.lines), true)
	if err != nil {
		return nil, "", err
	}
	return store.Paginate(all, f.position, func(r *R) bool { return f.deleted(r).IsZero() && f.match(&filter, r) }, page)
}

// Editor returns the editor of the file's records, whose changes are in the log, if
// there is one.
func (f *recordFile[R, F]) Editor(log *AuditFile) store.Editor[R] {
	log.WatchLines(f.kind, &f.lines)
	return &editor[R]{lines: &f.lines, log: log, get: f.get, each: f.each, line: f.line}
}

func (f *recordFile[R, F]) get(id string, in reading) (R, error) {
	var none R
	all, err := f.latest(in, false)
	if err != nil {
		return none, err
	}
	for i := range all {
		if r := &all[i]; f.position(r).ID == id && f.deleted(r).IsZero() {
			return *r, nil
		}
	}
	return none, fmt.Errorf("%s: %w", f.kind, store.ErrNotFound)
}

func (f *recordFile[R, F]) each(in reading, visit func(*R) error) error {
	all, err := f.latest(in, false)
	for i := 0; err == nil && i < len(all); i++ {
		if f.deleted(&all[i]).IsZero() {
			err = visit(&all[i])
		}
	}
	return err
}

// latest returns the last record about each id.
func (f *recordFile[R, F]) latest(in reading, strict bool) ([]R, error) {
	var all []R
	at := map[string]int{}
	d := f.newDecoder()
	err := in.each(func(line []byte, _ int) error {
		r, err := d.Decode(line)
		if err != nil {
			if strict {
				return err
			}
			return nil
		}
		kept := f.clone(r)
		id := f.position(&kept).ID
		if i, known := at[id]; known {
			all[i] = kept
			return nil
		}
		at[id] = len(all)
		all = append(all, kept)
		return nil
	})
	return all, err
}
