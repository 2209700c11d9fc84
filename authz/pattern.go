package authz

import (
	"fmt"
	"strings"
)

// Pattern is a path restriction of a key, a user or a route: "/a" for that
// path and all below it by whole segments, "/a/" for what is below it only,
// "/" for all, "=/a" for that one path. The zero Pattern matches nothing.
type Pattern struct {
	path   string // canonical
	folded string // the same in folded case, for paths in which case does not count
	plain  string // see Path.Plain
	exact  bool
}

// ParsePattern reads a pattern. Its path is held to the same rules as a
// request's, as the operator has set them, so that no pattern exists that no request could match.
func ParsePattern(text string, rules PathRules) (Pattern, error) {
	raw, exact := strings.CutPrefix(text, "=")
	if strings.Contains(raw, "?") {
		return Pattern{}, fmt.Errorf("path %q: a query is not part of a path", text)
	}
	path, err := ParsePath(raw, rules)
	if err != nil {
		return Pattern{}, fmt.Errorf("path %q: %w", text, err)
	}
	return Pattern{path: path.canonical, folded: foldEscapedCase(path.canonical), plain: path.plain, exact: exact}, nil
}

// Matches reports whether the path is the pattern's or, for a prefix, below it.
func (p Pattern) Matches(path Path) bool {
	own := p.path
	if path.anyCase {
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

// Exact tells whether the pattern is for one path only.
func (p Pattern) Exact() bool { return p.exact }

// Plain is the pattern as the most eager server would read it, for paths read so too.
func (p Pattern) Plain() Pattern {
	return Pattern{path: p.plain, folded: p.plain, plain: p.plain, exact: p.exact}
}

// HasTwoReadings reports whether an eager server would read the pattern as another one.
func (p Pattern) HasTwoReadings() bool { return p.plain != p.path }

// Path is the pattern's canonical path, without the "=".
func (p Pattern) Path() string { return p.path }

// String is the pattern as an operator writes it.
func (p Pattern) String() string {
	if p.exact {
		return "=" + p.path
	}
	return p.path
}

// PathSet is where a principal may go. The zero PathSet is nowhere. It is one
// pointer, since each request copies some and a cache holds thousands.
type PathSet struct{ patterns *[]Pattern }

// anywhere is told from other sets by where it is.
var anywhere []Pattern

// AnyPath is the set of all paths.
func AnyPath() PathSet { return PathSet{&anywhere} }

// ParsePathSet makes the set that a record's list of patterns stands for. A
// record without patterns restricts nothing.
func ParsePathSet(patterns []string) (PathSet, error) {
	if len(patterns) == 0 {
		return AnyPath(), nil
	}
	set := make([]Pattern, 0, len(patterns))
	for _, text := range patterns {
		// A record is written without knowing the server's rules; a pattern that
		// only a lenient server can match is harmless on a strict one.
		p, err := ParsePattern(text, lenient)
		if err != nil {
			return PathSet{}, err
		}
		set = append(set, p)
	}
	return PathSet{&set}, nil
}

var lenient = PathRules{Semicolon: true, EncodedSlash: true, EncodedPercent: true, EmptySegment: true, LookAlike: true}

// Contains tells whether the path is in the set.
func (s PathSet) Contains(path Path) bool {
	if s.Anywhere() {
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

// Anywhere tells whether the set is that of all paths.
func (s PathSet) Anywhere() bool { return s.patterns == &anywhere }
