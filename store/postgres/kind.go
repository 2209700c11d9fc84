package postgres

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"keyward/store"
)

// kind is how the records of one kind are kept. Each has a table whose rows have the
// record's line, and columns by which rows are selected and ordered.
type kind[R any] struct {
	name     string // as in audit.Action.Kind, and in the journal
	table    string // a constant of this package, as are the names of columns
	decode   func(line []byte) (*R, error)
	clone    func(*R) R
	position func(*R) store.Position
	deleted  func(*R) time.Time
	valid    func(id string) bool // reports whether a record can have the id
	seq      func(*R) *int64
	encode   func(*R) ([]byte, error)
	columns  []column[R] // beside those that each table has
	many     bool        // an id may have several rows, and none is replaced
}

// line encodes a record as that of the change seq.
func (k *kind[R]) line(r *R, seq int64) ([]byte, error) {
	*k.seq(r) = seq
	return k.encode(r)
}

// column is a column of a table, with its value of a record, and those of several in an
// array.
type column[R any] struct {
	name, of string // of is its type
	value    func(*written[R]) any
	values   func([]*written[R]) any
}

// written is a record that is to be written, with its line.
type written[R any] struct {
	record *R
	seq    int64
	line   string // without its newline
}

func withoutNewline(line []byte) string { return strings.TrimSuffix(string(line), "\n") }

func newColumn[R, V any](name, of string, value func(*written[R]) V) column[R] {
	one := func(row *written[R]) any { return value(row) }
	return column[R]{name, of, one, func(rows []*written[R]) any {
		values := make([]V, 0, len(rows))
		for _, row := range rows {
			values = append(values, value(row))
		}
		return values
	}}
}

func textColumn[R any](name string, value func(*R) string) column[R] {
	return newColumn(name, "text", func(w *written[R]) string { return value(w.record) })
}

// allColumns are the columns of the kind's table.
func (k *kind[R]) allColumns() []column[R] {
	return append([]column[R]{
		textColumn("id", func(r *R) string { return k.position(r).ID }),
		newColumn("made_seconds", "bigint", func(w *written[R]) int64 { return k.position(w.record).Made.Unix() }),
		newColumn("made_nanos", "integer", func(w *written[R]) int32 { return int32(k.position(w.record).Made.Nanosecond()) }),
		newColumn("deleted", "boolean", func(w *written[R]) bool { return !k.deleted(w.record).IsZero() }),
		newColumn("seq", "bigint", func(w *written[R]) int64 { return w.seq }),
		newColumn("line", "text", func(w *written[R]) string { return w.line }),
	}, k.columns...)
}

// upsert returns the statement that writes records, the last of each id, and what it
// is executed with: an array per column.
func (k *kind[R]) upsert(rows []*written[R]) (sql string, args []any) {
	if !k.many {
		rows = k.lastOfEach(rows)
	}
	var names, arrays, sets []string
	for i, c := range k.allColumns() {
		names = append(names, c.name)
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", i+1, c.of))
		if c.name != "id" {
			sets = append(sets, c.name+" = excluded."+c.name)
		}
		args = append(args, c.values(rows))
	}
	sql = "INSERT INTO " + k.table + " (" + strings.Join(names, ", ") + ") SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ")"
	if !k.many {
		sql += " ON CONFLICT (id) DO UPDATE SET " + strings.Join(sets, ", ")
	}
	return sql, args
}

// lastOfEach returns the last row of each id.
func (k *kind[R]) lastOfEach(rows []*written[R]) []*written[R] {
	last := make(map[string]int, len(rows))
	for i, row := range rows {
		last[k.position(row.record).ID] = i
	}
	if len(last) == len(rows) {
		return rows
	}
	var kept []*written[R]
	for i, row := range rows {
		if last[k.position(row.record).ID] == i {
			kept = append(kept, row)
		}
	}
	return slices.Clip(kept)
}
