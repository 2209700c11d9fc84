package keytable

import "math"

// summary has what rows of a chunk have now or had before. A list skips a chunk if no row with
// such values can be in it.
type summary struct {
	texts       span
	flags       rowFlags // of any row
	expires     moment   // the earliest of the rows that expire
	secretSince moment   // the earliest
}

// emptySummary is that of no row.
var emptySummary = summary{expires: math.MaxInt64, secretSince: math.MaxInt64}

// add makes the summary that of one more row.
func (s *summary) add(r *Row) {
	s.texts = s.texts.with(r.texts)
	s.flags |= r.flags
	s.secretSince = min(s.secretSince, r.secretSince)
	if r.flags&rowExpires != 0 {
		s.expires = min(s.expires, r.expires)
	}
}

// verdict is what a summary says of a chunk of rows.
type verdict uint8

const (
	unknown verdict = iota
	mayMatch
	noMatch
)

// passed reports whether the filter selects no row of the n-th row's chunk.
func (s *Selector) passed(n uint32) bool {
	chunk := n / rowChunk
	if s.verdicts[chunk] == unknown {
		s.verdicts[chunk] = noMatch
		if s.mayMatch(&s.table.chunks[chunk]) {
			s.verdicts[chunk] = mayMatch
		}
	}
	return s.verdicts[chunk] == noMatch
}

// mayMatch reports whether the filter may select one of the rows.
func (s *Selector) mayMatch(rows *summary) bool {
	if rows.flags&s.needs != s.needs {
		return false
	}
	// A time that a moment cannot have is later than those that are looked for.
	if s.expiresBy != never && rows.expires > s.expiresBy || s.secretBy != never && rows.secretSince >= s.secretBy {
		return false
	}
	// The texts come last, because they take the longest. An id is none of them.
	return len(s.text) == 0 || s.textIsID || s.search.within(&s.table.texts, rows.texts, s.text)
}
