package urlpath

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Pattern is a path restriction of a key, a user or a route: "/a" matches that
// path and everything below it by entire segments, "/a/" only what is below it,
// "/" everything, "=/a" that one path. The zero Pattern matches nothing.
type Pattern struct {
	path    string // canonical
	folded  string // the same in folded case, for paths whose case does not matter
	decoded string // see Path.Decoded
	exact   bool
	bytes   bool // not valid UTF-8, see Path.IsUTF8
}

// ParsePattern parses a pattern. Its path must follow the same rules as a
// request's, as the operator has set them. A pattern that no request could
// match is therefore an error, which quotes the pattern and wraps why.
func ParsePattern(text string, rules Rules) (Pattern, error) {
	raw, exact := strings.CutPrefix(text, "=")
	if strings.Contains(raw, "?") {
		return Pattern{}, fmt.Errorf("path %q: %w", text, errQuery)
	}
	path, err := Parse(raw, rules)
	if err != nil {
		return Pattern{}, fmt.Errorf("path %q: %w", text, err)
	}
	return Pattern{path: path.canonical, folded: foldEscapedCase(path.canonical), decoded: path.decoded, exact: exact, bytes: !path.IsUTF8()}, nil
}

var errQuery = errors.New("a query is not part of a path")

// Matches reports whether the path is the pattern's or, for a prefix, below it.
func (p Pattern) Matches(path Path) bool {
	own := p.path
	if path.pathCase == CaseInsensitive {
		own = p.folded
	}
	switch {
	case own == "" || path.canonical == "":
		return false
	case p.exact:
		return path.canonical == own
	case !strings.HasPrefix(path.canonical, own):
		return false
	default:
		return own[len(own)-1] == '/' || len(path.canonical) == len(own) || path.canonical[len(own)] == '/'
	}
}

// MayMatch reports whether some server could take a path that is not valid
// UTF-8 for one that the pattern matches, because it reads bytes as characters
// that the pattern has. The path's other readings have no such characters.
func (p Pattern) MayMatch(path Path) bool {
	at := strings.IndexFunc(p.decoded, isNonASCII)
	return at >= 0 && !path.IsUTF8() && len(path.decoded) > at &&
		path.decoded[:at] == p.decoded[:at] && path.decoded[at] >= utf8.RuneSelf
}

// HasNonASCII reports whether the pattern has characters outside ASCII.
func (p Pattern) HasNonASCII() bool { return strings.ContainsFunc(p.decoded, isNonASCII) }

func isNonASCII(r rune) bool { return r >= utf8.RuneSelf }

// IsUTF8 reports whether the pattern is valid UTF-8, however often a server
// decodes it.
func (p Pattern) IsUTF8() bool { return !p.bytes }

// Covers reports whether every path that q matches is one that p matches, however
// a server reads it.
func (p Pattern) Covers(q Pattern) bool {
	return p.covers(q.path, q.exact, p.path) && p.covers(q.decoded, q.exact, p.decoded)
}

// covers is Covers for one reading of both.
func (p Pattern) covers(path string, exact bool, own string) bool {
	reading := Pattern{path: own, folded: own, exact: p.exact}
	return (exact || !p.exact) && reading.Matches(Path{canonical: path})
}

// Exact reports whether the pattern matches one path only.
func (p Pattern) Exact() bool { return p.exact }

// Decoded returns the pattern as the most permissive server would read it, for
// matching paths that are read the same way.
func (p Pattern) Decoded() Pattern {
	return Pattern{path: p.decoded, folded: p.decoded, decoded: p.decoded, exact: p.exact}
}

// IsAmbiguous reports whether a permissive server would read the pattern
// differently.
func (p Pattern) IsAmbiguous() bool { return p.decoded != p.path }

// Path returns the pattern's canonical path, without the "=".
func (p Pattern) Path() string { return p.path }

// String returns the pattern as an operator writes it.
func (p Pattern) String() string {
	if p.exact {
		return "=" + p.path
	}
	return p.path
}

// Set is the set of paths that a principal may use. The zero Set is
// empty. It is one pointer, since each request copies some and a cache holds
// thousands.
type Set struct{ patterns *[]Pattern }

// anyPathPatterns stands for all paths; it is compared by address.
var anyPathPatterns []Pattern

// Any is the set of all paths.
func Any() Set { return Set{&anyPathPatterns} }

// ParseSet returns the set of a record's list of patterns. A record without
// patterns allows any path.
func ParseSet(patterns []string) (Set, error) {
	if len(patterns) == 0 {
		return Any(), nil
	}
	set := make([]Pattern, 0, len(patterns))
	for _, text := range patterns {
		// A record is written without knowing the server's rules. A pattern
		// that only a permissive server can match is harmless on a strict one.
		p, err := ParsePattern(text, permissiveRules)
		if err != nil {
			return Set{}, err
		}
		set = append(set, p)
	}
	return Set{&set}, nil
}

// Contains reports whether the path is in the set.
func (s Set) Contains(path Path) bool {
	if s.IsAnyPath() {
		return true
	}
	if s.patterns == nil {
		return false
	}
	for i := range *s.patterns {
		if (*s.patterns)[i].Matches(path) {
			return true
		}
	}
	return false
}

// Includes reports whether every path of t is in the set: each pattern of t is
// covered by one of the set's.
func (s Set) Includes(t Set) bool {
	switch {
	case s.IsAnyPath():
		return true
	case t.IsAnyPath():
		return false
	case t.patterns == nil:
		return true
	case s.patterns == nil:
		return false
	}
	for _, q := range *t.patterns {
		if !slices.ContainsFunc(*s.patterns, func(p Pattern) bool { return p.Covers(q) }) {
			return false
		}
	}
	return true
}

// IsAnyPath reports whether the set contains all paths.
func (s Set) IsAnyPath() bool { return s.patterns == &anyPathPatterns }
