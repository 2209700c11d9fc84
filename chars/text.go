package chars

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// BreaksLine reports whether r is a control character, or one of Unicode's
// separators of lines and paragraphs.
func BreaksLine(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// IsLine reports whether text is one line: UTF-8 without what [BreaksLine]
// reports, which could forge lines in a log or a header.
func IsLine(text []byte) bool {
	for _, c := range text {
		if c < 0x20 || c >= 0x7f {
			return utf8.Valid(text) && !bytes.ContainsFunc(text, BreaksLine)
		}
	}
	return true
}

// IsPlain reports whether s is UTF-8 without control characters (RFC 7617
// section 2) and without what only steers how text is shown: bidi overrides,
// byte order marks, line separators. The two joiners are part of ordinary words.
func IsPlain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < utf8.RuneSelf && r >= 0x20 && r != 0x7f || r == 0x200c || r == 0x200d {
			continue
		}
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return false
		}
	}
	return true
}

// maxClaim bounds the name of a person or a thing in a token's claim, in bytes.
const maxClaim = 255

// IsClaim reports whether s can be the subject or the id of a token that is
// accepted, and so be in a header or a log: plain text without a space at either end.
func IsClaim(s string) bool {
	return s != "" && len(s) <= maxClaim && strings.TrimSpace(s) == s && IsPlain(s)
}
