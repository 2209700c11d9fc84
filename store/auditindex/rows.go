// Package auditindex finds entries of an audit log without reading the log: per entry it
// has one row of 40 bytes in memory, by which most entries that a filter does not select
// are left out; the others are read from their file. It changes no file, and follows none:
// each use reads first what was appended since.
package auditindex

import (
	"hash/maphash"
	"math"
	"slices"
	"time"

	"keyward/store"
	"keyward/store/audit"
	"keyward/store/journal"
	"keyward/store/jsonline"
)

// row is what is known of an entry. Texts are hashes, of which zero is "".
type row struct {
	offset                                int64  // of its latest line
	number                                uint32 // that of the entry, less the file's base
	length                                uint32
	seconds                               uint32 // its time, rounded down
	actor, key, action, record, operation uint32
}

// rows are those of one file, by the entries' numbers. It is a journal.Index.
type rows struct {
	seed maphash.Seed // the same for all files
	base int64        // the number of the first entry
	all  []row

	bad     error // what is wrong with a line
	badLine int
}

// Reset implements journal.Index.
func (r *rows) Reset() { *r = rows{seed: r.seed} }

// Add implements journal.Index. A line about an entry that is there replaces its row.
func (r *rows) Add(line []byte, at journal.LineRef) {
	if r.bad != nil {
		return
	}
	e, err := r.read(line)
	if err != nil {
		r.bad, r.badLine = err, at.Number
		return
	}
	if len(r.all) == 0 {
		r.base = e.seq
	}
	if e.seq < r.base || e.seq-r.base > math.MaxUint32 {
		r.bad, r.badLine = audit.ErrInvalid, at.Number
		return
	}
	e.row.number, e.row.offset, e.row.length = uint32(e.seq-r.base), at.Offset, uint32(at.Length)
	if n := len(r.all); n == 0 || r.all[n-1].number < e.row.number {
		r.all = append(r.all, e.row)
		return
	}
	i, known := slices.BinarySearchFunc(r.all, e.row.number, func(of row, number uint32) int { return int(int64(of.number) - int64(number)) })
	if known {
		r.all[i] = e.row
		return
	}
	r.all = slices.Insert(r.all, i, e.row)
}

func (r *rows) seq(i int) int64 { return r.base + int64(r.all[i].number) }

// first is the number of the first entry; without one it is that of no entry.
func (r *rows) first() int64 {
	if len(r.all) == 0 {
		return math.MaxInt64
	}
	return r.base
}

func (r *rows) hash(text []byte) uint32 {
	if len(text) == 0 {
		return 0
	}
	return max(uint32(maphash.Bytes(r.seed, text)), 1)
}

// parsed is a row with the number of its entry.
type parsed struct {
	row
	seq int64
}

// read reads the members of a line that filters ask for.
func (r *rows) read(line []byte) (parsed, error) {
	p, err := r.scan(journal.Unbatched(line))
	if err == nil {
		return p, nil
	}
	// The line of a newer version may have what the scanner does not read.
	e, err := audit.Decode(journal.Unbatched(line))
	if err != nil {
		return parsed{}, err
	}
	hash := func(text string) uint32 { return r.hash([]byte(text)) }
	return parsed{row{
		seconds: seconds(e.Time), actor: hash(e.Actor), key: hash(e.ActorKey), action: hash(string(e.Action)),
		record: hash(e.Record), operation: hash(e.Operation),
	}, e.Seq}, nil
}

func (r *rows) scan(line []byte) (p parsed, err error) {
	s := jsonline.NewScanner(line)
	err = s.Object(func(name []byte) error {
		var ok bool
		switch string(name) {
		case "seq":
			p.seq, ok = s.ReadInteger()
		case "time":
			var at time.Time
			err := s.ReadTime(&at)
			p.seconds = seconds(at)
			return err
		case "actor":
			p.actor, ok = r.hashOf(&s)
		case "actor_key":
			p.key, ok = r.hashOf(&s)
		case "action":
			p.action, ok = r.hashOf(&s)
		case "target":
			p.record, ok = r.hashOf(&s)
		case "operation":
			p.operation, ok = r.hashOf(&s)
		default:
			_, err := s.Skip()
			return err
		}
		return jsonline.ErrType.Unless(ok)
	})
	if err == nil && (!s.End() || p.seq <= 0) {
		err = audit.ErrInvalid
	}
	return p, err
}

// hashOf is the hash of the string that follows.
func (r *rows) hashOf(s *jsonline.Scanner) (uint32, bool) {
	text, ok := s.ReadString()
	return r.hash(text), ok
}

// seconds is a time within the range of a row.
func seconds(t time.Time) uint32 { return uint32(min(max(t.Unix(), 0), math.MaxUint32)) }

// query is a filter as rows are compared with it.
type query struct {
	actor, action, record, operation uint32
	since                            uint32
}

func (r *rows) query(f *store.AuditFilter) query {
	return query{
		actor: r.hash([]byte(f.Actor)), action: r.hash([]byte(f.Action)), record: r.hash([]byte(f.Record)),
		operation: r.hash([]byte(f.Operation)), since: seconds(f.Since),
	}
}

// mayMatch reports whether the filter may select the entry. It is true for each that it
// selects, and for few others.
func (q *query) mayMatch(r *row) bool {
	return (q.actor == 0 || q.actor == r.actor || q.actor == r.key) && (q.action == 0 || q.action == r.action) &&
		(q.record == 0 || q.record == r.record) && (q.operation == 0 || q.operation == r.operation) && r.seconds >= q.since
}
