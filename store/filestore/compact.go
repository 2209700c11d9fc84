package filestore

import (
	"context"
	"io"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/journal"
)

// Compact rewrites the file with one line for each key, without the deleted keys
// and without secrets whose grace is over. Of a key whose record is not supported the
// last line stays as it is. The line of the latest numbered change stays too, with the
// last one about its key: by it the audit log's next writer sees that the change was
// made. It returns how many lines are gone. A file with a line that cannot be read is
// left as it is.
func (f *KeyFile) Compact(ctx context.Context) (gone int, err error) {
	err = f.lines.Write(ctx, store.ErrNotFound, func(t *journal.LineTransaction) error {
		latest, err := latestLines(t)
		if err != nil || t.File() == nil {
			return err
		}
		var d store.KeyDecoder
		kept := 0
		err = t.Rewrite(func(w io.Writer) error {
			return t.Read(func(line []byte, number int) error {
				r, err := d.Decode(line)
				if err != nil {
					return err
				}
				if !latest.keeps(d.ID(), r, number) {
					return nil
				}
				kept++
				return f.writeCompacted(w, r, line, d.InBatch())
			})
		})
		gone = latest.lines - kept
		return err
	})
	if err != nil {
		return 0, err
	}
	return gone, nil
}

// latestOf is what Compact has to know of a file before it rewrites it.
type latestOf struct {
	last    map[apikey.ID]int // the number of the last line about each key
	lines   int               // how many there are
	seq     int64             // the latest numbered change, 0 if there is none
	changed apikey.ID         // the key that it changed
	line    int               // its number
}

func latestLines(t *journal.LineTransaction) (latestOf, error) {
	of := latestOf{last: map[apikey.ID]int{}}
	var d store.KeyDecoder
	err := t.Read(func(line []byte, number int) error {
		of.lines++
		r, err := d.Decode(line)
		if err != nil {
			return err
		}
		of.last[d.ID()] = number
		if r.Seq > 0 && r.Seq >= of.seq {
			of.seq, of.changed, of.line = r.Seq, d.ID(), number
		}
		return nil
	})
	return of, err
}

// keeps reports whether the line with that number stays, which is about the key. Where
// an earlier line about a key stays, its last one must: the key may have ended by it.
func (l *latestOf) keeps(id apikey.ID, r *store.KeyRecord, number int) bool {
	if l.last[id] != number {
		return number == l.line
	}
	return r.Deleted.IsZero() || r.Unsupported || l.seq > 0 && id == l.changed
}

// writeCompacted writes the line as it is if there is nothing to leave out.
func (f *KeyFile) writeCompacted(w io.Writer, r *store.KeyRecord, line []byte, inBatch bool) error {
	if r.Unsupported {
		line = journal.Unbatched(line)
	}
	if r.Unsupported || len(r.Previous) == 0 && !inBatch {
		_, err := w.Write(append(line[:len(line):len(line)], '\n'))
		return err
	}
	c := r.Clone()
	c.Previous = r.Unexpired(f.now())
	text, err := c.Line()
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
