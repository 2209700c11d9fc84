package filestore

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/journal"
)

// keyTable has, of each key of a file, what a page is ordered and selected by, and
// where the key's last line is: some 80 bytes per key.
type keyTable struct {
	rows    [][]keyRow // each of rowChunk, so that a table grows without being copied
	count   int
	byID    map[apikey.ID]uint32 // row number
	names   map[string]uint32    // numbers of users and projects
	latest  []time.Time          // by the number of a user: when its latest key was made, by any line
	order   []uint32             // row numbers by store.Position, without the last unsorted
	moved   bool                 // a key got another position
	invalid badLine              // the first line that cannot be read
	decoder store.KeyDecoder
	buffer  []byte // of lines that are read again
}

// keyRow is a key. Its numbers are of names.
type keyRow struct {
	id            apikey.ID
	nanos         uint32
	seconds       int64 // of the time at which the key was made, with nanos
	offset        int64
	length        uint32
	number        uint32
	user, project uint32
	deleted       bool
}

// badLine is a line that cannot be read; the zero badLine is none.
type badLine struct {
	number int
	err    error
}

const (
	rowChunk = 4096
	// fewRows is up to how many new rows are put into the order one by one.
	fewRows = 64
)

func newKeyTable() *keyTable {
	t := &keyTable{}
	t.Reset()
	return t
}

// Reset implements journal.Index.
func (t *keyTable) Reset() {
	*t = keyTable{byID: map[apikey.ID]uint32{}, names: map[string]uint32{"": 0}, latest: make([]time.Time, 1)}
}

// Add implements journal.Index.
func (t *keyTable) Add(line []byte, at journal.LineRef) {
	r, err := t.decoder.Decode(line)
	if err != nil {
		if t.invalid.err == nil {
			t.invalid = badLine{at.Number, err}
		}
		return
	}
	user := t.nameNumber(r.User)
	t.latest[user] = store.Latest(t.latest[user], r.Created)
	id := t.decoder.ID()
	n, known := t.byID[id]
	if !known {
		n = t.add(id)
	}
	row := t.row(n)
	seconds, nanos := r.Created.Unix(), uint32(r.Created.Nanosecond())
	t.moved = t.moved || known && (row.seconds != seconds || row.nanos != nanos)
	*row = keyRow{
		id: id, seconds: seconds, nanos: nanos, offset: at.Offset, length: uint32(at.Length), number: uint32(at.Number),
		user: user, project: t.nameNumber(r.Project), deleted: !r.Deleted.IsZero(),
	}
}

func (t *keyTable) add(id apikey.ID) uint32 {
	n := uint32(t.count)
	if t.count%rowChunk == 0 {
		t.rows = append(t.rows, make([]keyRow, rowChunk))
	}
	t.count++
	t.byID[id] = n
	return n
}

func (t *keyTable) row(n uint32) *keyRow { return &t.rows[n/rowChunk][n%rowChunk] }

func (t *keyTable) nameNumber(name string) uint32 {
	n, known := t.names[name]
	if !known {
		n = uint32(len(t.names))
		t.names[strings.Clone(name)] = n
		t.latest = append(t.latest, time.Time{})
	}
	return n
}

// latestKey returns when the latest key of the user was made; zero without one.
func (t *keyTable) latestKey(user string) time.Time {
	n, known := t.names[user]
	if !known {
		return time.Time{}
	}
	return t.latest[n]
}

// find returns the row of a key, nil for one that is not in the file.
func (t *keyTable) find(id apikey.ID) *keyRow {
	n, known := t.byID[id]
	if !known {
		return nil
	}
	return t.row(n)
}

// lastLine is where the key's last line is.
func (r *keyRow) lastLine() journal.LineRef {
	return journal.LineRef{Offset: r.offset, Length: int(r.length), Number: int(r.number)}
}

func (r *keyRow) position() store.Position {
	return store.Position{Made: time.Unix(r.seconds, int64(r.nanos)), ID: r.id.String()}
}

// compare orders rows as their positions are ordered.
func (t *keyTable) compare(a, b uint32) int {
	ra, rb := t.row(a), t.row(b)
	return cmp.Or(cmp.Compare(ra.seconds, rb.seconds), cmp.Compare(ra.nanos, rb.nanos), bytes.Compare(ra.id[:], rb.id[:]))
}

// sort brings the order up to date.
func (t *keyTable) sort() {
	first := len(t.order)
	if !t.moved && t.count-first <= fewRows {
		for n := uint32(first); n < uint32(t.count); n++ {
			at, _ := slices.BinarySearchFunc(t.order, n, t.compare)
			t.order = slices.Insert(t.order, at, n)
		}
		return
	}
	t.order = slices.Grow(t.order, t.count-first)
	for n := uint32(first); n < uint32(t.count); n++ {
		t.order = append(t.order, n)
	}
	slices.SortFunc(t.order, t.compare)
	t.moved = false
}

// from returns the place in the order at which the records behind end begin, in the
// direction of the page; nil is from the beginning.
func (t *keyTable) from(end *store.Position, page store.Page) int {
	if end == nil {
		return 0
	}
	return sort.Search(t.count, func(i int) bool { return page.Compare(t.inOrder(i, page).position(), *end) > 0 })
}

// inOrder is the i-th row in the direction of the page.
func (t *keyTable) inOrder(i int, page store.Page) *keyRow {
	if page.NewestFirst {
		i = t.count - 1 - i
	}
	return t.row(t.order[i])
}

// selector selects rows by what a filter wants of a table's names.
type selector struct {
	user, project uint32 // 0: any
	none          bool   // the filter wants a name that no key has
}

func (t *keyTable) selector(f *store.KeyFilter) selector {
	user, hasUser := t.names[f.User]
	project, hasProject := t.names[f.Project]
	return selector{user, project, !hasUser || !hasProject}
}

// selects reports whether the filter may select the key. The filter itself decides
// by the record.
func (s selector) selects(r *keyRow) bool {
	return !r.deleted && !s.none && (s.user == 0 || s.user == r.user) && (s.project == 0 || s.project == r.project)
}
