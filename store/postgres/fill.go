package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"keyward/store"
)

// Records adds the records of a kind: of several lines about one, the last. lines is
// called twice. A line that cannot be read is an error: a record must not get lost.
func (f *Filling) Records(kind string, lines Lines) (records int, err error) {
	switch kind {
	case "key":
		return fillTable(f, keyKind(), &tableFilling[store.KeyRecord]{check: checkKey, also: writeSecrets}, lines)
	case "user":
		before := usersBefore{}
		return fillTable(f, userKind(), &tableFilling[store.UserRecord]{check: (*store.UserRecord).CheckAccess, succeed: before.succeed}, lines)
	case "project":
		return fillTable(f, projectKind(), &tableFilling[store.Project]{}, lines)
	case "client":
		return fillTable(f, clientKind(), &tableFilling[store.Client]{}, lines)
	case "revocation":
		return fillTable(f, revocationKind(), &tableFilling[store.Revocation]{}, lines)
	default:
		return 0, fmt.Errorf("no records of the kind %q", kind)
	}
}

var errAccess = errors.New("an invalid path or scope")

func checkKey(r *store.KeyRecord) error {
	if !r.AccessValid() {
		return errAccess
	}
	return nil
}

// usersBefore are the users as they are after the lines that were read.
type usersBefore map[string]store.UserRecord

// succeed carries over what has ended by earlier lines about the user. It reports whether
// the record lacked it.
func (before usersBefore) succeed(r *store.UserRecord) bool {
	now := *r
	if earlier, known := before[r.Name]; known {
		now.Succeed(&earlier)
	}
	before[r.Name] = store.UserRecord{Name: now.Name, Gen: now.Gen, ValidSince: now.ValidSince, Deleted: now.Deleted}
	changed := now.Gen != r.Gen || !now.EndedAt().Equal(r.EndedAt())
	*r = now
	return changed
}

// tableFilling is what is particular to the table of a kind.
type tableFilling[R any] struct {
	check func(*R) error // returns why readers do not accept the record; nil: they do
	// succeed changes the record, if it must be, for what earlier lines about it say, and
	// reports whether it did; nil: they say nothing.
	succeed func(*R) bool
	also    func(*pgx.Batch, []*written[R]) // writes what follows from all lines; nil: nothing

	rows, all []*written[R] // that are to be written: last lines, and all
}

func fillTable[R any](f *Filling, k *kind[R], t *tableFilling[R], lines Lines) (records int, err error) {
	last, err := lastLines(k, lines)
	if err != nil {
		return 0, err
	}
	number := 0
	err = lines(func(line []byte) error {
		number++
		row, err := t.read(k, line)
		if err != nil {
			return err
		}
		if t.also != nil {
			t.all = append(t.all, row)
		}
		if k.many || last[k.position(row.record).ID] == number {
			records++
			t.rows = append(t.rows, row)
			f.follow(k.name, row.seq, row.line)
		}
		if max(len(t.rows), len(t.all)) < copiedAtOnce {
			return nil
		}
		return t.flush(f, k)
	})
	if err == nil {
		err = t.flush(f, k)
	}
	return records, f.orFailed(err)
}

// lastLines returns the number of the last line about each id, which are counted from 1.
func lastLines[R any](k *kind[R], lines Lines) (map[string]int, error) {
	last := map[string]int{}
	if k.many {
		return last, nil
	}
	number := 0
	return last, lines(func(line []byte) error {
		number++
		r, err := k.decode(line)
		if err == nil {
			last[strings.Clone(k.position(r).ID)] = number
		}
		return err
	})
}

// read reads a line, which stays as it is unless it lacks what earlier ones ended.
func (t *tableFilling[R]) read(k *kind[R], line []byte) (*written[R], error) {
	row := &written[R]{line: string(line)}
	r, err := k.decode([]byte(row.line))
	if err == nil && t.check != nil {
		err = t.check(r)
	}
	if err != nil {
		return nil, err
	}
	kept := k.clone(r)
	row.record, row.seq = &kept, *k.seq(&kept)
	if t.succeed != nil && t.succeed(row.record) {
		text, err := k.line(row.record, row.seq)
		if err != nil {
			return nil, err
		}
		row.line = withoutNewline(text)
	}
	return row, nil
}

// flush writes the rows.
func (t *tableFilling[R]) flush(f *Filling, k *kind[R]) error {
	columns := k.allColumns()
	names := make([]string, 0, len(columns))
	for _, c := range columns {
		names = append(names, c.name)
	}
	rows := make([][]any, 0, len(t.rows))
	for _, row := range t.rows {
		values := make([]any, 0, len(columns))
		for _, c := range columns {
			values = append(values, c.value(row))
		}
		rows = append(rows, values)
	}
	if err := f.copy(k.table, names, rows); err != nil {
		return err
	}
	all := t.all
	t.rows, t.all = t.rows[:0], t.all[:0]
	if t.also == nil || len(all) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	t.also(batch, all)
	return f.w.send(batch)
}

// entryNames are the columns of an entry that is closed.
var entryNames = []string{"seq", "change_id", "time", "actor", "actor_key", "action", "target", "outcome", "operation", "line"}

// Entries adds the entries of an audit log: of several lines with one number, the last.
// lines is called twice.
func (f *Filling) Entries(lines Lines) (entries int, err error) {
	last := map[int64]int{}
	number := 0
	err = lines(func(line []byte) error {
		number++
		e, err := entryOf(line)
		last[e.Seq] = number
		return err
	})
	if err != nil {
		return 0, err
	}
	number = 0
	var rows [][]any
	flush := func() error {
		err := f.copy("audit", entryNames, rows)
		rows = rows[:0]
		return err
	}
	err = lines(func(line []byte) error {
		number++
		e, err := entryOf(line)
		if err != nil || last[e.Seq] != number {
			return err
		}
		entries++
		f.Reserve(e.Seq)
		rows = append(rows, []any{e.Seq, f.w.id, e.Time, e.Actor, e.ActorKey, string(e.Action), e.Record, string(e.Outcome), e.Operation, e.line})
		if len(rows) < copiedAtOnce {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	return entries, f.orFailed(err)
}
