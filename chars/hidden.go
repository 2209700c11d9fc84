package chars

import (
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// IsHidden reports whether r is not visible as a character of its own, so that
// two texts may look the same with and without it: control and format
// characters, private and unassigned code points, spaces other than the ASCII
// one, variation selectors, and characters that are drawn as nothing.
func IsHidden(r rune) bool {
	const brailleBlank = 0x2800
	if r < utf8.RuneSelf {
		return r < 0x20 || r == 0x7f
	}
	return !unicode.IsPrint(r) || r == brailleBlank ||
		unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// EscapeHidden returns equivalent JSON text in which hidden characters are
// escaped, so that they cannot control the terminal that shows it. It returns
// its argument if there are none.
func EscapeHidden(json []byte) []byte {
	var out []byte
	copied := 0
	for i := 0; i < len(json); {
		r, size := rune(json[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(json[i:])
		}
		if r >= 0x7f && IsHidden(r) {
			out = appendEscape(append(out, json[copied:i]...), r)
			copied = i + size
		}
		i += size
	}
	if copied == 0 {
		return json
	}
	return append(out, json[copied:]...)
}

// appendEscape appends r in the escaped form of JSON (RFC 8259 section 7).
func appendEscape(out []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Appendf(out, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(out, `\u%04x`, r)
}
