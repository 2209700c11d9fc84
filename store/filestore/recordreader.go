package filestore

import (
	"context"
	"fmt"
	"time"

	"keyward/store"
	"keyward/store/journal"
)

// recordReader reads the records of a file of which there are few: each call reads the
// entire file. It is a store.Reader.
type recordReader[R, F any] struct {
	lines      journal.Lines
	what       string // what a record is called in errors
	newDecoder func() decoder[R]
	position   func(*R) store.Position
	deleted    func(*R) time.Time
	clone      func(*R) R
	match      func(*F, *R) bool
}

// Get implements store.Reader. A line that cannot be read is skipped, as servers do.
func (f *recordReader[R, F]) Get(ctx context.Context, id string) (R, error) {
	all, err := f.latest(unlocked(ctx, &f.lines), false)
	if err != nil {
		var none R
		return none, err
	}
	return f.find(all, id)
}

// find returns the record among all. One that was deleted is not found.
func (f *recordReader[R, F]) find(all []R, id string) (R, error) {
	for i := range all {
		if r := &all[i]; f.position(r).ID == id && f.deleted(r).IsZero() {
			return *r, nil
		}
	}
	var none R
	return none, fmt.Errorf("%s: %w", f.what, store.ErrNotFound)
}

// List implements store.Lister. A line that cannot be read is an error.
func (f *recordReader[R, F]) List(ctx context.Context, filter F, page store.Page) ([]R, store.Cursor, error) {
	all, err := f.latest(unlocked(ctx, &f.lines), true)
	if err != nil {
		return nil, "", err
	}
	return store.Paginate(all, f.position, func(r *R) bool { return f.deleted(r).IsZero() && f.match(&filter, r) }, page)
}

// latest returns the last record about each id.
func (f *recordReader[R, F]) latest(each eachLine, strict bool) ([]R, error) {
	var all []R
	at := map[string]int{}
	d := f.newDecoder()
	err := each(func(line []byte, _ int) error {
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
