package urlpath

import "unicode"

// isConfusableWithPathChar reports whether a server that folds Unicode (NFKC,
// or the "best fit" tables of Windows) could take r for one of / \ . % ; ? #.
func isConfusableWithPathChar(r rune) bool {
	return r >= 0x37e && (unicode.Is(foldsToPathCharacter, r) || unicode.Is(confusableWithSlash, r))
}

// foldsToPathCharacter contains every rune whose NFKC form (Unicode Annex 15)
// contains a path character. A test compares it with golang.org/x/text.
var foldsToPathCharacter = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x037e, Hi: 0x037e, Stride: 1}, // Greek question mark: ;
		{Lo: 0x2024, Hi: 0x2026, Stride: 1}, // dot leaders: . .. ...
		{Lo: 0x2047, Hi: 0x2049, Stride: 1}, // double question marks
		{Lo: 0x2100, Hi: 0x2101, Stride: 1}, // a/c a/s
		{Lo: 0x2105, Hi: 0x2106, Stride: 1}, // c/o c/u
		{Lo: 0x2488, Hi: 0x249b, Stride: 1}, // 1. to 20.
		{Lo: 0x33c2, Hi: 0x33c2, Stride: 1}, // a.m.
		{Lo: 0x33c7, Hi: 0x33c7, Stride: 1}, // Co.
		{Lo: 0x33d8, Hi: 0x33d8, Stride: 1}, // p.m.
		{Lo: 0xfe14, Hi: 0xfe14, Stride: 1}, // presentation forms
		{Lo: 0xfe16, Hi: 0xfe16, Stride: 1},
		{Lo: 0xfe19, Hi: 0xfe19, Stride: 1},
		{Lo: 0xfe30, Hi: 0xfe30, Stride: 1},
		{Lo: 0xfe52, Hi: 0xfe52, Stride: 1}, // small forms
		{Lo: 0xfe54, Hi: 0xfe54, Stride: 1},
		{Lo: 0xfe56, Hi: 0xfe56, Stride: 1},
		{Lo: 0xfe5f, Hi: 0xfe5f, Stride: 1},
		{Lo: 0xfe68, Hi: 0xfe68, Stride: 1},
		{Lo: 0xfe6a, Hi: 0xfe6a, Stride: 1},
		{Lo: 0xff03, Hi: 0xff03, Stride: 1}, // fullwidth forms
		{Lo: 0xff05, Hi: 0xff05, Stride: 1},
		{Lo: 0xff0e, Hi: 0xff0f, Stride: 1},
		{Lo: 0xff1b, Hi: 0xff1b, Stride: 1},
		{Lo: 0xff1f, Hi: 0xff1f, Stride: 1},
		{Lo: 0xff3c, Hi: 0xff3c, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0x1f100, Hi: 0x1f100, Stride: 1}}, // 0.
}

// confusableWithSlash contains the runes that Unicode Technical Standard 39
// lists as confusable with / \ or %, without the letters of living scripts
// (such as the Katakana no), which are common in legitimate paths.
var confusableWithSlash = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x066a, Hi: 0x066a, Stride: 1}, // Arabic percent sign
		{Lo: 0x1735, Hi: 0x1735, Stride: 1}, // Philippine single punctuation
		{Lo: 0x2041, Hi: 0x2041, Stride: 1}, // caret insertion point
		{Lo: 0x2044, Hi: 0x2044, Stride: 1}, // fraction slash
		{Lo: 0x2052, Hi: 0x2052, Stride: 1}, // commercial minus sign
		{Lo: 0x20e5, Hi: 0x20e5, Stride: 1}, // combining reverse solidus overlay
		{Lo: 0x2215, Hi: 0x2216, Stride: 1}, // division slash, set minus
		{Lo: 0x2571, Hi: 0x2572, Stride: 1}, // box drawing diagonals
		{Lo: 0x27cb, Hi: 0x27cb, Stride: 1}, // mathematical rising diagonal
		{Lo: 0x27cd, Hi: 0x27cd, Stride: 1}, // mathematical falling diagonal
		{Lo: 0x29f5, Hi: 0x29f5, Stride: 1}, // reverse solidus operator
		{Lo: 0x29f8, Hi: 0x29f9, Stride: 1}, // big solidus, big reverse solidus
		{Lo: 0x2f02, Hi: 0x2f03, Stride: 1}, // Kangxi radicals dot and slash
		{Lo: 0x3033, Hi: 0x3033, Stride: 1}, // vertical kana repeat mark
		{Lo: 0x31d3, Hi: 0x31d4, Stride: 1}, // CJK strokes
	},
	R32: []unicode.Range32{
		{Lo: 0x1d20f, Hi: 0x1d20f, Stride: 1}, // Greek musical notation
		{Lo: 0x1d23a, Hi: 0x1d23b, Stride: 1},
	},
}
