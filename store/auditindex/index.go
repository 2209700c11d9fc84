package auditindex

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"sync"

	"keyward/store"
	"keyward/store/audit"
	"keyward/store/journal"
)

// maxRows bounds the rows in memory, to 80 MB. The entries of older parts have none: a
// page that goes back so far reads those parts.
const maxRows = 2_000_000

// Log are the files of an audit log.
type Log struct {
	Latest *journal.Lines
	// Parts returns the files that have the entries before those of Latest, in their
	// order. They do not change.
	Parts func() ([]*journal.Lines, error)
}

// Index is the index of one log. Its methods may be called at the same time.
type Index struct {
	log     Log
	maxRows int
	seed    maphash.Seed

	mu      sync.Mutex
	current *file
	parts   []*file // in their order
}

// file is one file with its rows.
type file struct {
	journal.Progress
	rows
	left bool // without rows: there are too many
}

// New returns an Index that has read nothing.
func New(log Log) *Index {
	x := &Index{log: log, maxRows: maxRows, seed: maphash.MakeSeed()}
	x.current = x.file(log.Latest)
	return x
}

func (x *Index) file(lines *journal.Lines) *file {
	return &file{Progress: journal.Progress{Lines: lines}, rows: rows{seed: x.seed}}
}

// Load reads the log, so that the first page need not.
func (x *Index) Load(ctx context.Context) error { return x.use(ctx, func() error { return nil }) }

// Release frees the memory and the files. The next use reads the log again.
func (x *Index) Release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range append(x.parts, x.current) {
		f.forget()
	}
	x.parts = nil
}

func (f *file) forget() {
	f.Forget()
	f.Reset()
}

// use calls do with the index up to date. While much is new, other calls take turns in
// reading it, so that ctx ends this one.
func (x *Index) use(ctx context.Context, do func() error) error {
	for {
		if done, err := x.try(ctx, do); done || err != nil {
			return err
		}
	}
}

func (x *Index) try(ctx context.Context, do func() error) (done bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if done, err = x.advance(ctx); done && err == nil {
		err = do()
	}
	return done, err
}

// advance reads a stretch of what is new. The current file comes first: what becomes a
// part meanwhile is then in both.
func (x *Index) advance(ctx context.Context) (done bool, err error) {
	if done, err := x.current.advance(ctx); !done || err != nil {
		return false, err
	}
	if err := x.list(); err != nil {
		return false, err
	}
	total := len(x.current.all)
	for i := len(x.parts) - 1; i >= 0; i-- {
		part := x.parts[i]
		if part.left = total >= x.maxRows; part.left {
			part.forget()
			continue
		}
		if done, err := part.advance(ctx); !done || err != nil {
			return false, err
		}
		total += len(part.all)
	}
	return true, nil
}

func (f *file) advance(ctx context.Context) (done bool, err error) {
	done, err = f.Advance(ctx, &f.rows)
	if err == nil && f.bad != nil {
		err = f.Lines.ErrorAt(f.badLine, f.bad)
		f.forget() // another program may repair it
	}
	return done, err
}

// list keeps the parts that are still there, and adds those that are new.
func (x *Index) list() error {
	lines, err := x.log.Parts()
	if err != nil {
		return err
	}
	known := make(map[string]*file, len(x.parts))
	for _, f := range x.parts {
		known[f.Lines.Path] = f
	}
	x.parts = make([]*file, len(lines))
	for i, of := range lines {
		f := known[of.Path]
		if f == nil {
			f = x.file(of)
		}
		delete(known, of.Path)
		x.parts[i] = f
	}
	for _, gone := range known {
		gone.forget()
	}
	return nil
}

// Page returns a page of the entries that the filter selects, in the order of their
// numbers.
func (x *Index) Page(ctx context.Context, filter store.AuditFilter, page store.Page) ([]audit.Entry, store.Cursor, error) {
	after, err := startOf(page)
	if err != nil {
		return nil, "", err
	}
	var entries []audit.Entry
	var next store.Cursor
	err = x.use(ctx, func() error {
		w := &walk{filter: &filter, page: page, after: after, query: x.current.query(&filter), lowest: math.MaxInt64}
		err := x.walk(ctx, w)
		entries, next = w.found, w.next
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return entries, next, nil
}

// startOf returns the number of the entry with which the page before ended; 0 if this is
// the first.
func startOf(page store.Page) (int64, error) {
	end, err := page.Start()
	if err != nil || end == nil {
		return 0, err
	}
	seq, err := strconv.ParseInt(end.ID, 10, 64)
	if err != nil || seq <= 0 {
		return 0, fmt.Errorf("%w: not a cursor of this list", store.ErrInvalid)
	}
	return seq, nil
}

// cursorOf is the cursor of a page that ended with the entry.
func cursorOf(e *audit.Entry) store.Cursor {
	return store.Position{Made: e.Time, ID: fmt.Sprintf("%019d", e.Seq)}.Cursor()
}
