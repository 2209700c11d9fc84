package urlpath

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// nfkc returns the path as a server reads it that normalizes Unicode (NFKC,
// Unicode Annex 15).
func nfkc(path string) string {
	if isASCII(path) {
		return path
	}
	return norm.NFKC.String(strings.Map(foldOutlined, path))
}

// foldOutlined returns the letter or digit that a rune outlines. Those of
// Unicode 16 may be missing in the tables of NFKC.
func foldOutlined(r rune) rune {
	switch {
	case 0x1ccd6 <= r && r <= 0x1ccef:
		return 'A' + r - 0x1ccd6
	case 0x1ccf0 <= r && r <= 0x1ccf9:
		return '0' + r - 0x1ccf0
	default:
		return r
	}
}

// foldConfusable returns the path as a server reads it that converts what looks
// like a slash, a backslash, a percent sign or a hyphen to that, as the "best
// fit" tables of Windows do.
func foldConfusable(path string) string {
	if isASCII(path) {
		return path
	}
	return strings.Map(func(r rune) rune {
		if r < 0xa5 { // the first of them
			return r
		}
		if c, ok := pathCharLike[r]; ok {
			return c
		}
		return r
	}, path)
}

// pathCharLike maps each rune of confusableWithSlash to its path character, and
// the yen and the won sign, which have the code of the backslash in the
// character sets of Japan and Korea, and the soft hyphen (CVE-2024-4577).
var pathCharLike = map[rune]rune{
	0x066a: '%', 0x1735: '/', 0x2041: '/', 0x2044: '/', 0x2052: '%', 0x20e5: '\\', 0x2215: '/', 0x2216: '\\', 0x2571: '/', 0x2572: '\\',
	0x27cb: '/', 0x27cd: '\\', 0x29f5: '\\', 0x29f8: '/', 0x29f9: '\\', 0x2f02: '\\', 0x2f03: '/', 0x3033: '/', 0x31d3: '/', 0x31d4: '\\',
	0x1d20f: '\\', 0x1d23a: '/', 0x1d23b: '\\', 0xa5: '\\', 0xad: '-', 0xffe5: '\\', 0x20a9: '\\', 0xffe6: '\\',
}
