package filestore

import (
	"context"
	"fmt"
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/filestore/keytable"
	"keyward/store/journal"
	"keyward/store/pacer"
)

// catalog finds keys of a file without reading the file: an index in memory, and
// one read per record. Checks do not use it.
type catalog struct {
	lines *journal.Lines
	file  *fileIndex[*keytable.Table]
	idOf  func(apikey.Digest) (id string, known bool) // nil: the file is read
}

// CatalogConfig has a KeyFile keep an index of the file in memory, so that a call
// about one key or one page does not read the entire file. It is for a process that
// manages a large file for a long time.
type CatalogConfig struct {
	// IDOf returns the key that has, or had, the secret with that digest. nil: for
	// FindBySecret the file is read.
	IDOf func(apikey.Digest) (id string, known bool)
}

func newCatalog(lines *journal.Lines, cfg CatalogConfig) *catalog {
	return &catalog{lines: lines, file: newFileIndex(lines, keytable.New()), idOf: cfg.IDOf}
}

// Over how many keys a call goes, and how many of them it reads, before other calls
// have their turn.
const (
	scanStretch = 16 << 10
	readStretch = 256
)

// LoadCatalog reads the file into the catalog, if there is one, so that the first
// call after it need not.
func (f *KeyFile) LoadCatalog(ctx context.Context) error {
	if f.catalog == nil {
		return nil
	}
	return f.catalog.use(unlocked(ctx, &f.lines), func(*keytable.Table, *journal.Progress) error { return nil })
}

// Release frees the catalog, if there is one. A later call reads the file again.
func (f *KeyFile) Release() {
	if f.catalog != nil {
		f.catalog.file.release()
	}
}

// use is fileIndex.use with the order up to date.
func (c *catalog) use(r reading, do func(*keytable.Table, *journal.Progress) error) error {
	return c.file.use(r, func(t *keytable.Table, p *journal.Progress) error {
		t.Sort()
		return do(t, p)
	})
}

// get returns what the last line about the key says that can be read.
func (c *catalog) get(id apikey.ID, r reading) (store.KeyRecord, error) {
	var found store.KeyRecord
	err := c.use(r, func(t *keytable.Table, p *journal.Progress) error {
		row := t.Find(id)
		if row == nil {
			return fmt.Errorf("key %s: %w", id, store.ErrNotFound)
		}
		last, err := t.Record(row, p)
		if err == nil {
			found = last.Clone()
		}
		return err
	})
	return found, err
}

// holders are the keys that idOf knows.
func (c *catalog) holders(digest apikey.Digest) []apikey.ID {
	text, known := c.idOf(digest)
	if !known {
		return nil
	}
	id, ok := apikey.ParseID([]byte(text))
	if !ok {
		return nil
	}
	return []apikey.ID{id}
}

// each calls visit for each key, in the order of their first lines. visit may use the
// catalog.
func (c *catalog) each(r reading, visit func(*store.KeyRecord) error) error {
	var records []store.KeyRecord
	for next, count := 0, 1; next < count; next += readStretch {
		records = records[:0]
		err := c.use(r, func(t *keytable.Table, p *journal.Progress) error {
			count = t.Count()
			return collect(t, p, next, min(next+readStretch, count), &records)
		})
		for i := 0; err == nil && i < len(records); i++ {
			err = visit(&records[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// collect appends the records of rows that were not deleted.
func collect(t *keytable.Table, p *journal.Progress, from, to int, into *[]store.KeyRecord) error {
	if err := t.Readable(p.Lines); err != nil {
		return err
	}
	for n := from; n < to; n++ {
		row := t.Row(uint32(n))
		if row.Deleted() {
			continue
		}
		r, err := t.Record(row, p)
		if err != nil {
			return err
		}
		*into = append(*into, r.Clone())
	}
	return nil
}

// latestKeys is KeyFile.LatestKeys.
func (c *catalog) latestKeys(ctx context.Context, users []string) (map[string]time.Time, error) {
	made := make(map[string]time.Time, len(users))
	err := c.file.use(unlocked(ctx, c.lines), func(t *keytable.Table, _ *journal.Progress) error {
		for _, name := range users {
			made[name] = t.LatestKey(name)
		}
		return nil
	})
	return made, err
}

// listing is a page in the making.
type listing struct {
	filter  store.KeyFilter
	page    store.Page
	end     *store.Position // behind which the next stretch begins; nil: from the beginning
	search  keytable.Search
	records []store.KeyRecord
	bytes   int  // of their texts
	more    bool // than the page has
}

// list returns a page, as store.Paginate makes it.
func (c *catalog) list(ctx context.Context, filter store.KeyFilter, page store.Page) ([]store.KeyRecord, store.Cursor, error) {
	l := listing{filter: filter, page: page}
	var err error
	if l.end, err = page.Start(); err != nil {
		return nil, "", err
	}
	pace := pacer.ForRequest()
	for {
		var done bool
		err := c.use(unlocked(ctx, c.lines), func(t *keytable.Table, p *journal.Progress) (err error) {
			done, err = l.extend(t, p)
			return err
		})
		if err != nil {
			return nil, "", err
		}
		if done {
			break
		}
		pace.Step()
	}
	if !l.more {
		return l.records, "", nil
	}
	last := &l.records[len(l.records)-1]
	return l.records, store.Position{Made: last.Created, ID: last.ID}.Cursor(), nil
}

// extend goes over a stretch of the keys, and reports whether the page is complete.
func (l *listing) extend(t *keytable.Table, p *journal.Progress) (done bool, err error) {
	if err := t.Readable(p.Lines); err != nil {
		return false, err
	}
	wanted, view := t.Selector(&l.filter, &l.search), t.View(&l.filter)
	first := view.From(l.end, l.page)
	i, reads := first, 0
	for ; i < min(first+scanStretch, view.Count()) && reads < readStretch; i++ {
		n := view.InOrder(i, l.page)
		row := t.Row(n)
		if !wanted.Selects(n, row) {
			continue
		}
		reads++
		r, err := t.Record(row, p)
		if err != nil {
			return false, err
		}
		if !l.filter.Match(r) {
			continue
		}
		if l.page.Limit > 0 && (len(l.records) == l.page.Limit || l.bytes >= journal.PageBytes) {
			l.more = true
			return true, nil
		}
		l.records = append(l.records, r.Clone())
		l.bytes += textOf(r)
	}
	if i == view.Count() {
		return true, nil
	}
	end := t.Row(view.InOrder(i-1, l.page)).Position()
	l.end = &end
	return false, nil
}

// textOf returns how many bytes the key has in the members that may be long.
func textOf(r *store.KeyRecord) int {
	n := len(r.Name) + len(r.Description) + len(r.Owner) + len(r.Unknown)
	for _, text := range r.Paths {
		n += len(text)
	}
	for _, text := range r.OwnScopes() {
		n += len(text)
	}
	return n
}
