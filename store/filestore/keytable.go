package filestore

import (
	"bytes"
	"cmp"
	"math"
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
	rows    [][]keyRow        // each of rowChunk, so that a table grows without being copied
	begins  map[uint32]moment // not_before of the few keys that have it, by row number
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
	flags         rowFlags
	expires       moment
	secretSince   moment
}

// moment is a time in nanoseconds since 1970, in half of the memory of a time.Time.
type moment int64

// never is the moment of the zero time, and of one that a moment cannot have, which
// rowInexact says of a row.
const never moment = math.MinInt64

func momentOf(at time.Time) (m moment, exact bool) {
	m = moment(at.UnixNano())
	return m, time.Unix(0, int64(m)).Equal(at)
}

func (m moment) time() time.Time {
	if m == never {
		return time.Time{}
	}
	return time.Unix(0, int64(m))
}

type rowFlags uint8

const (
	rowEnded rowFlags = 1 << iota // revoked or deleted
	rowDeleted
	rowUnsupported
	rowPaused
	rowNotBefore
	rowExpires
	rowInexact // a time of the record is not in the row
)

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
	*t = keyTable{byID: map[apikey.ID]uint32{}, begins: map[uint32]moment{}, names: map[string]uint32{"": 0}, latest: make([]time.Time, 1)}
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
		user: user, project: t.nameNumber(r.Project),
	}
	t.setStatus(n, row, r)
}

// setStatus keeps in the row what the state of the key depends on.
func (t *keyTable) setStatus(n uint32, row *keyRow, r *store.KeyRecord) {
	set := func(flag rowFlags, is bool) {
		if is {
			row.flags |= flag
		}
	}
	keep := func(at time.Time) moment {
		if at.IsZero() {
			return never
		}
		m, exact := momentOf(at)
		set(rowInexact, !exact)
		return m
	}
	set(rowEnded, r.Ended())
	set(rowDeleted, !r.Deleted.IsZero())
	set(rowUnsupported, r.Unsupported)
	set(rowPaused, r.Paused != nil)
	set(rowExpires, !r.Expires.IsZero())
	row.expires, row.secretSince = keep(r.Expires), keep(r.SecretSince())
	delete(t.begins, n)
	if !r.NotBefore.IsZero() {
		row.flags |= rowNotBefore
		t.begins[n] = keep(r.NotBefore)
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
	return store.Position{Made: r.made(), ID: r.id.String()}
}

func (r *keyRow) made() time.Time { return time.Unix(r.seconds, int64(r.nanos)) }

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
	return sort.Search(t.count, func(i int) bool { return page.Compare(t.row(t.inOrder(i, page)).position(), *end) > 0 })
}

// inOrder is the number of the i-th row in the direction of the page.
func (t *keyTable) inOrder(i int, page store.Page) uint32 {
	if page.NewestFirst {
		i = t.count - 1 - i
	}
	return t.order[i]
}
