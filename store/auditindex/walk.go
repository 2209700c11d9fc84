package auditindex

import (
	"context"
	"math"
	"slices"

	"keyward/store"
	"keyward/store/audit"
	"keyward/store/journal"
)

// walk is one way through the files, in the order of a page.
type walk struct {
	filter *store.AuditFilter
	query  query
	page   store.Page
	after  int64 // the number of the entry before the page; 0: none

	lowest, highest int64 // the numbers in the files that were visited

	buf   []byte
	found []audit.Entry
	bytes int // of their lines
	next  store.Cursor
	full  bool
}

// span is a file with the numbers of its entries that count: those from below on are in
// a later file too, as a power cut leaves them. Of a file without rows that is not known
// before it is read.
type span struct {
	*file
	below int64
}

// walk fills a page. It reads the files without rows in between.
func (x *Index) walk(ctx context.Context, w *walk) error {
	spans := x.spans()
	if !w.page.NewestFirst {
		slices.Reverse(spans)
	}
	for _, s := range spans {
		if w.full {
			return nil
		}
		if err := w.visit(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// spans are the files, the latest first.
func (x *Index) spans() []span {
	spans := []span{{x.current, math.MaxInt64}}
	below := x.current.first()
	for i := len(x.parts) - 1; i >= 0; i-- {
		spans = append(spans, span{x.parts[i], below})
		below = min(below, x.parts[i].first())
	}
	return spans
}

// visit goes through the entries of one file.
func (w *walk) visit(ctx context.Context, s span) error {
	if s.left {
		for done := false; !done; {
			var err error
			if done, err = s.advance(ctx); err != nil {
				return err
			}
		}
		defer s.forget()
	}
	for n := range s.all {
		i := n
		if w.page.NewestFirst {
			i = len(s.all) - 1 - n
		}
		seq := s.seq(i)
		if seq >= s.below || w.twice(seq) || w.after > 0 && !w.behind(seq) || !w.query.mayMatch(&s.all[i]) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.take(s.file, &s.all[i], seq); err != nil || w.full {
			return err
		}
	}
	if n := len(s.all); n > 0 {
		w.lowest, w.highest = min(w.lowest, s.first()), max(w.highest, min(s.seq(n-1), s.below-1))
	}
	return nil
}

// twice reports whether an entry was in a file that was visited before.
func (w *walk) twice(seq int64) bool {
	if w.page.NewestFirst {
		return seq >= w.lowest
	}
	return seq <= w.highest
}

// behind reports whether an entry comes behind the page before.
func (w *walk) behind(seq int64) bool {
	if w.page.NewestFirst {
		return seq < w.after
	}
	return seq > w.after
}

// take reads the entry and adds it, if the filter selects it.
func (w *walk) take(f *file, r *row, seq int64) error {
	var err error
	if w.buf, err = f.ReadLine(journal.LineRef{Offset: r.offset, Length: int(r.length)}, w.buf); err != nil {
		f.forget()
		return err
	}
	e, err := audit.Decode(journal.Unbatched(w.buf))
	if err == nil && e.Seq != seq {
		err = audit.ErrInvalid
	}
	if err != nil {
		f.forget() // another program changed the file
		return err
	}
	switch {
	case !w.filter.Match(&e):
	case w.page.Limit > 0 && (len(w.found) == w.page.Limit || w.bytes >= journal.PageBytes):
		w.next, w.full = cursorOf(&w.found[len(w.found)-1]), true
	default:
		w.found = append(w.found, e)
		w.bytes += len(w.buf)
	}
	return nil
}
