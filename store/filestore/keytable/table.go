package keytable

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/journal"
)

// Table has, of each key of a file, what a page is ordered and selected by, and
// where the key's last line is: some 140 bytes per key, its name included.
type Table struct {
	rows    [][]Row           // each of rowChunk, so that a table grows without being copied
	begins  map[uint32]moment // not_before of the few keys that have it, by row number
	count   int
	byID    map[apikey.ID]uint32 // row number
	names   map[string]uint32    // numbers of users and projects
	texts   texts
	chunks  []summary   // by the number of a chunk of rows
	latest  []time.Time // by the number of a user: when its latest key was made, by any line
	ofUser  [][]uint32  // by the number of a user: the rows of its keys
	order   []uint32    // row numbers by store.Position, without the last unsorted
	moved   bool        // a key got another position
	invalid badLine     // the first line that cannot be read
	decoder store.KeyDecoder
	buffer  []byte // of lines that are read again
}

// Row is a key. Its numbers are of names.
type Row struct {
	id            apikey.ID
	nanos         uint32
	seconds       int64 // of the time at which the key was made, with nanos
	offset        int64
	length        uint32
	number        uint32
	user, project uint32
	texts         textRef
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
	rowReplaced // it has secrets that were replaced
	rowInexact  // a time of the record is not in the row
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

// ErrMoved is a line that is not the one that was there.
var ErrMoved = errors.New("another program changed the file while it was read")

// New returns an empty Table.
func New() *Table {
	t := &Table{}
	t.Reset()
	return t
}

// Reset implements journal.Index.
func (t *Table) Reset() {
	*t = Table{byID: map[apikey.ID]uint32{}, begins: map[uint32]moment{}, names: map[string]uint32{"": 0}, latest: make([]time.Time, 1), ofUser: make([][]uint32, 1)}
}

// Add implements journal.Index.
func (t *Table) Add(line []byte, at journal.LineRef) {
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
		t.Row(n).texts = noTexts
	}
	row := t.Row(n)
	t.moveTo(user, n, row, known)
	seconds, nanos := r.Created.Unix(), uint32(r.Created.Nanosecond())
	t.moved = t.moved || known && (row.seconds != seconds || row.nanos != nanos)
	*row = Row{
		id: id, seconds: seconds, nanos: nanos, offset: at.Offset, length: uint32(at.Length), number: uint32(at.Number),
		user: user, project: t.nameNumber(r.Project), texts: t.texts.replace(row.texts, r.Hint, r.Name),
	}
	t.setStatus(n, row, r)
	t.chunks[n/rowChunk].add(row)
	if t.texts.wasteful() {
		t.packTexts()
	}
}

// packTexts leaves out the texts that were replaced.
func (t *Table) packTexts() {
	packed := texts{packed: t.texts.packed + 1, longest: t.texts.longest}
	for i := range t.chunks {
		t.chunks[i] = emptySummary
	}
	for n := range uint32(t.count) {
		row := t.Row(n)
		if row.texts != noTexts {
			hint, name, _ := t.texts.get(row.texts)
			row.texts = packed.add(string(hint), string(name))
		}
		t.chunks[n/rowChunk].add(row)
	}
	t.texts = packed
}

// setStatus keeps in the row what the state of the key depends on.
func (t *Table) setStatus(n uint32, row *Row, r *store.KeyRecord) {
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
	set(rowReplaced, len(r.Previous) > 0)
	set(rowExpires, !r.Expires.IsZero())
	row.expires, row.secretSince = keep(r.Expires), keep(r.SecretSince())
	delete(t.begins, n)
	if !r.NotBefore.IsZero() {
		row.flags |= rowNotBefore
		t.begins[n] = keep(r.NotBefore)
	}
}

// Count is how many rows there are.
func (t *Table) Count() int { return t.count }

func (t *Table) add(id apikey.ID) uint32 {
	n := uint32(t.count)
	if t.count%rowChunk == 0 {
		t.rows, t.chunks = append(t.rows, make([]Row, rowChunk)), append(t.chunks, emptySummary)
	}
	t.count++
	t.byID[id] = n
	return n
}

// Row returns the n-th row.
func (t *Table) Row(n uint32) *Row { return &t.rows[n/rowChunk][n%rowChunk] }

func (t *Table) nameNumber(name string) uint32 {
	n, known := t.names[name]
	if !known {
		n = uint32(len(t.names))
		t.names[strings.Clone(name)] = n
		t.latest, t.ofUser = append(t.latest, time.Time{}), append(t.ofUser, nil)
	}
	return n
}

// LatestKey returns when the latest key of the user was made; zero without one.
func (t *Table) LatestKey(user string) time.Time {
	n, known := t.names[user]
	if !known {
		return time.Time{}
	}
	return t.latest[n]
}

// Find returns the row of a key, nil for one that is not in the file.
func (t *Table) Find(id apikey.ID) *Row {
	n, known := t.byID[id]
	if !known {
		return nil
	}
	return t.Row(n)
}

// Deleted reports whether the key was deleted.
func (r *Row) Deleted() bool { return r.flags&rowDeleted != 0 }

// lastLine is where the key's last line is.
func (r *Row) lastLine() journal.LineRef {
	return journal.LineRef{Offset: r.offset, Length: int(r.length), Number: int(r.number)}
}

// Position is where the key is in a list.
func (r *Row) Position() store.Position {
	return store.Position{Made: r.made(), ID: r.id.String()}
}

func (r *Row) made() time.Time { return time.Unix(r.seconds, int64(r.nanos)) }

// compare orders rows as their positions are ordered.
func (t *Table) compare(a, b uint32) int {
	ra, rb := t.Row(a), t.Row(b)
	return cmp.Or(cmp.Compare(ra.seconds, rb.seconds), cmp.Compare(ra.nanos, rb.nanos), bytes.Compare(ra.id[:], rb.id[:]))
}

// Sort brings the order up to date.
func (t *Table) Sort() {
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

// Record reads a row's record, which is valid until the next one is read. A file
// that another program wrote into since it was read is to be read again.
func (t *Table) Record(row *Row, p *journal.Progress) (*store.KeyRecord, error) {
	line, err := p.ReadLine(row.lastLine(), t.buffer)
	if err != nil {
		p.Forget()
		return nil, err
	}
	t.buffer = line
	r, err := t.decoder.Decode(line)
	if err == nil && t.decoder.ID() != row.id {
		err = ErrMoved
	}
	if err != nil {
		p.Forget()
		return nil, p.Lines.ErrorAt(int(row.number), err)
	}
	return r, nil
}

// Readable returns an error if a line cannot be read: about the first such line.
func (t *Table) Readable(lines *journal.Lines) error {
	if t.invalid.err == nil {
		return nil
	}
	return lines.ErrorAt(t.invalid.number, t.invalid.err)
}
