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
// last line stays as it is. It returns how many lines are gone. A file with a line
// that cannot be read is left as it is.
func (f *KeyFile) Compact(ctx context.Context) (gone int, err error) {
	err = f.lines.Write(ctx, store.ErrNotFound, func(t *journal.LineTransaction) error {
		last, lines, err := latestLines(t)
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
				if last[d.ID()] != number || !r.Deleted.IsZero() && !r.Unsupported {
					return nil
				}
				kept++
				return f.writeCompacted(w, r, line, d.InBatch())
			})
		})
		gone = lines - kept
		return err
	})
	if err != nil {
		return 0, err
	}
	return gone, nil
}

// latestLines returns the number of the last line about each key, and how many
// lines there are.
func latestLines(t *journal.LineTransaction) (last map[apikey.ID]int, lines int, err error) {
	last = map[apikey.ID]int{}
	var d store.KeyDecoder
	err = t.Read(func(line []byte, number int) error {
		lines++
		if _, err := d.Decode(line); err != nil {
			return err
		}
		last[d.ID()] = number
		return nil
	})
	return last, lines, err
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
