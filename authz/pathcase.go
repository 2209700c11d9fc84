package authz

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// PathCase says what the case of letters means in a path. The zero PathCase is
// the strictest: upstreams differ, so a path that would take another route if
// case did not count is refused.
type PathCase uint8

// The choices.
const (
	CaseRefuse      PathCase = iota // case counts, and a path that needs it to is ambiguous
	CaseSensitive                   // case counts
	CaseInsensitive                 // case does not count, for routes, keys and users alike
)

// foldCase returns a decoded path with every letter in one case, by the simple
// case mappings of Unicode: ASP.NET and NTFS fold É as they fold E. The dotless
// and the dotted i of Turkish become i, as they do where such a server
// converts to upper or to lower case.
func foldCase(path string) string {
	if isASCII(path) {
		return LowerASCII(path)
	}
	return strings.Map(foldRune, path)
}

// foldEscapedCase is foldCase for a canonical path, in which characters outside
// ASCII are escaped. What is not an ASCII letter does not become one here: the
// upstream is sent the path as it came.
func foldEscapedCase(path string) string {
	if !strings.Contains(path, "%") {
		return LowerASCII(path)
	}
	var b strings.Builder
	b.Grow(len(path))
	for path != "" {
		c, escaped := unescape(path)
		switch {
		case !escaped:
			b.WriteByte(lowerASCII(path[0]))
			path = path[1:]
		case c < utf8.RuneSelf:
			b.WriteString(path[:3])
			path = path[3:]
		default:
			path = foldEscapedRune(&b, path)
		}
	}
	return b.String()
}

// foldEscapedRune writes the character that the escapes at the start of path
// spell in folded case, and returns the rest of the path.
func foldEscapedRune(b *strings.Builder, path string) (rest string) {
	var char [utf8.UTFMax]byte
	n := escapedBytes(path, &char)
	r, size := utf8.DecodeRune(char[:n])
	if folded := foldRune(r); r != utf8.RuneError && folded >= utf8.RuneSelf {
		for _, c := range utf8.AppendRune(nil, folded) {
			writeEscape(b, c)
		}
	} else {
		b.WriteString(path[:3*size])
	}
	return path[3*size:]
}

// foldRune maps all runes that differ in case alone to one.
func foldRune(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
