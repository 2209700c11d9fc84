package urlpath

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"keyward/chars"
)

// Case says whether the case of letters matters in a path. The zero
// Case is the strictest: upstreams differ, so a path that would take
// another route if case did not matter is refused.
type Case uint8

// The choices.
const (
	CaseRefuse      Case = iota // case matters, and a path is ambiguous if ignoring case changes its route
	CaseSensitive               // case matters
	CaseInsensitive             // case does not matter, for routes, keys and users alike
)

// foldCase returns a decoded path with every letter in one case, by the simple
// case mappings of Unicode: ASP.NET and NTFS fold É as they fold E. The dotless
// and the dotted i of Turkish become i, as they do when such a server converts
// to upper or to lower case.
func foldCase(path string) string {
	if isASCII(path) {
		return chars.LowerASCII(path)
	}
	return strings.Map(foldRune, path)
}

// foldEscapedCase is foldCase for a canonical path, in which characters outside
// ASCII are escaped. A character that is not an ASCII letter does not become
// one here, because the upstream receives the path as it was sent.
func foldEscapedCase(path string) string {
	if !strings.Contains(path, "%") {
		return chars.LowerASCII(path)
	}
	var b strings.Builder
	b.Grow(len(path))
	for path != "" {
		c, escaped := unescape(path)
		switch {
		case !escaped:
			b.WriteByte(chars.LowerByte(path[0]))
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

// foldEscapedRune decodes the character at the start of path, which is written
// in escapes, and writes it in folded case. It returns the rest of the path.
func foldEscapedRune(b *strings.Builder, path string) (rest string) {
	var char [utf8.UTFMax]byte
	n := decodeHighBytes(path, &char)
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

// foldRune maps all runes that differ only in case to one.
func foldRune(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
