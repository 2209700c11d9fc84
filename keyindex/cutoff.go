package keyindex

import (
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
)

// cutoff is what the revocations of one name come to: its tokens that were issued
// before a time have ended. The zero cutoff ends none.
type cutoff struct {
	before time.Time
	end    unixMicros // when all those tokens have expired, and this can be removed; zero: never
}

// always is after any time at which a token is issued.
var always = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// names reports whether the token has ended. A zero IssuedAt is before any time;
// nothing is before the zero time.
func (c cutoff) names(t *Token) bool { return t.IssuedAt.Before(c.before) }

// with returns the cutoff with what another one says, and reports whether that ends
// more tokens. The later time wins: no record takes back what another ended.
func (c cutoff) with(other cutoff) (cutoff, bool) {
	ends := other.before.After(c.before)
	switch {
	case c.before.IsZero():
		c.end = other.end
	case c.end != 0:
		c.end = laterEnd(c.end, other.end)
	}
	if ends {
		c.before = other.before
	}
	return c, ends
}

func laterEnd(a, b unixMicros) unixMicros {
	if b == 0 {
		return 0
	}
	return max(a, b)
}

func (c cutoff) ended(now unixMicros) bool { return c.end != 0 && now >= c.end }

// missingIn reports whether next ends fewer tokens, though not all of them have expired.
func (c cutoff) missingIn(next cutoff, now unixMicros) bool {
	return c.before.After(next.before) && !c.ended(now)
}

// cutoffs are those of several names, by [sameText].
type cutoffs map[string]cutoff

func (m cutoffs) has(name string) bool {
	_, found := m[sameText(name)]
	return found
}

// add reports whether the cutoff ends more tokens of the name.
func (m cutoffs) add(name string, c cutoff) bool {
	name = sameText(name)
	held, known := m[name]
	if !known {
		name = strings.Clone(name)
	}
	c, ends := held.with(c)
	m[name] = c
	return ends
}

// removeEnded removes some of those that have ended. Looking at a few, from where the
// map happens to begin, each time that one is added keeps most that are held in force,
// and no check waits for the removal of many.
func (m cutoffs) removeEnded(now unixMicros) {
	const few = 4
	seen := 0
	for name, c := range m {
		if c.ended(now) {
			delete(m, name)
		}
		if seen++; seen == few {
			return
		}
	}
}

// sameText returns one form for all texts that differ only in how their accents are
// encoded, which is not visible and, on many keyboards, is not the user's choice.
func sameText(text string) string { return norm.NFC.String(text) }
