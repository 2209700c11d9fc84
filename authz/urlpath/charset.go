package urlpath

import (
	"strings"
	"unicode/utf8"
)

// charset is how a server reads the bytes that escapes stand for, as far as it
// makes ASCII characters of them or drops them. Which other characters it makes
// of them, U+FFFD among them, does not matter here, see Pattern.MayMatch.
type charset uint8

const (
	anyBytes    charset = iota // keeps the bytes: Go, nginx, PHP
	replaced                   // "?" for what is not UTF-8: conversion to a smaller character set
	dropped                    // nothing instead: iconv with //IGNORE, Python with errors="ignore"
	lenientUTF8                // UTF-8 whose continuation bytes are not checked
	windows1252                // Windows-1252, and ISO 8859-1: control characters there are trimmed as if dropped
	shiftJIS
	euc // EUC-JP, EUC-KR, GB 2312 and GBK
	big5

	charsetCount
)

// decode decodes each escape once.
func (c charset) decode(path string) (string, error) {
	decoded := DecodeOnce(path)
	switch before := highBytes(path); {
	case c == anyBytes, highBytes(decoded) == before:
		return decoded, nil
	case before > 0: // characters of one decoding beside bytes of the next
		return "", encodedTooOften
	}
	return c.read(decoded), nil
}

func highBytes(s string) (n int) {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			n++
		}
	}
	return n
}

// read returns the text that the bytes are. A character outside ASCII that has
// no look-alike in ASCII may be U+FFFD.
func (c charset) read(bytes string) string {
	switch c {
	case replaced:
		return strings.ToValidUTF8(bytes, "?")
	case dropped:
		return strings.ToValidUTF8(bytes, "")
	case lenientUTF8:
		return eachCharacter(bytes, uncheckedRune)
	case windows1252:
		return eachCharacter(bytes, windowsRune)
	default:
		return eachCharacter(bytes, func(s string) (rune, int) { return doubleByteRune(s, c) })
	}
}

// eachCharacter returns the text of characters that first reads one by one.
// first is only called with a text that begins outside ASCII.
func eachCharacter(bytes string, first func(s string) (r rune, size int)) string {
	var b strings.Builder
	b.Grow(2 * len(bytes))
	for i := 0; i < len(bytes); {
		if bytes[i] < utf8.RuneSelf {
			b.WriteByte(bytes[i])
			i++
			continue
		}
		r, size := first(bytes[i:])
		b.WriteRune(r)
		i += size
	}
	return b.String()
}

// uncheckedRune reads UTF-8 as a server does that takes what follows a leading
// byte for continuation bytes: C1 61 is another "a" to it.
func uncheckedRune(s string) (rune, int) {
	if r, size := utf8.DecodeRuneInString(s); r != utf8.RuneError || size > 1 {
		return r, size
	}
	size := 1
	for bit := byte(0x40); size < 6 && s[0]&bit != 0; bit >>= 1 {
		size++
	}
	if size == 1 || size > len(s) {
		return utf8.RuneError, 1
	}
	r := rune(s[0] & (0x7f >> size))
	for _, c := range []byte(s[1:size]) {
		r = r<<6 | rune(c&0x3f)
	}
	return r, size
}

// windowsRune reads Windows-1252, as far as it differs from ISO 8859-1 in a
// character with a look-alike.
func windowsRune(s string) (rune, int) {
	switch c := s[0]; {
	case c == 0x85:
		return '\u2026', 1 // …
	case c == 0x98:
		return '\u02dc', 1 // small tilde
	case c == 0x99:
		return '\u2122', 1 // ™
	case c < 0xa0:
		return utf8.RuneError, 1
	default:
		return rune(c), 1
	}
}

// doubleByteRune reads a character of an East Asian encoding. It returns the
// full-width form of an ASCII character, and U+FFFD for any other. The trailing
// byte of a character may be in ASCII.
func doubleByteRune(s string, c charset) (rune, int) {
	isKatakana := c == shiftJIS && 0xa0 <= s[0] && s[0] <= 0xdf
	if len(s) < 2 || s[1] < 0x40 || s[1] == 0x7f || isKatakana {
		return utf8.RuneError, 1
	}
	pair := uint16(s[0])<<8 | uint16(s[1])
	for _, f := range fullWidth {
		if f.charset == c && f.first <= pair && pair <= f.last {
			return f.char + rune(pair-f.first), 2
		}
	}
	return utf8.RuneError, 2
}

// fullWidth says where the East Asian encodings have the forms of letters,
// digits and the characters of paths.
var fullWidth = []struct {
	charset     charset
	first, last uint16
	char        rune // of the first
}{
	{shiftJIS, 0x824f, 0x8258, '０'}, {shiftJIS, 0x8260, 0x8279, 'Ａ'}, {shiftJIS, 0x8281, 0x829a, 'ａ'},
	{shiftJIS, 0x8144, 0x8144, '．'}, {shiftJIS, 0x8147, 0x8147, '；'}, {shiftJIS, 0x8148, 0x8148, '？'}, {shiftJIS, 0x8151, 0x8151, '＿'},
	{shiftJIS, 0x815e, 0x815e, '／'}, {shiftJIS, 0x815f, 0x815f, '＼'}, {shiftJIS, 0x8163, 0x8163, '…'}, {shiftJIS, 0x817c, 0x817c, '－'},
	{shiftJIS, 0x8193, 0x8193, '％'}, {shiftJIS, 0x8194, 0x8194, '＃'}, {shiftJIS, 0x8140, 0x8140, '\u3000'},
	{euc, 0xa3a1, 0xa3fe, '！'}, // all of ASCII in GBK and EUC-KR, letters and digits in EUC-JP
	{euc, 0xa1a1, 0xa1a1, '\u3000'}, {euc, 0xa1a5, 0xa1a5, '．'}, {euc, 0xa1a8, 0xa1a8, '；'}, {euc, 0xa1a9, 0xa1a9, '？'},
	{euc, 0xa1bf, 0xa1bf, '／'}, {euc, 0xa1c0, 0xa1c0, '＼'}, {euc, 0xa1c4, 0xa1c4, '…'}, {euc, 0xa1ad, 0xa1ad, '…'},
	{euc, 0xa1f3, 0xa1f3, '％'}, {euc, 0xa1f4, 0xa1f4, '＃'}, {euc, 0xa1dd, 0xa1dd, '－'}, {euc, 0xa1b2, 0xa1b2, '＿'},
	{big5, 0xa2af, 0xa2b8, '０'}, {big5, 0xa2cf, 0xa2e8, 'Ａ'}, {big5, 0xa2e9, 0xa2fe, 'ａ'}, {big5, 0xa340, 0xa343, 'ｗ'},
	{big5, 0xa140, 0xa140, '\u3000'}, {big5, 0xa144, 0xa144, '．'}, {big5, 0xa146, 0xa146, '；'}, {big5, 0xa148, 0xa148, '？'},
	{big5, 0xa14b, 0xa14b, '…'}, {big5, 0xa1fe, 0xa1fe, '／'}, {big5, 0xa240, 0xa240, '＼'}, {big5, 0xa248, 0xa248, '％'},
	{big5, 0xa1ad, 0xa1ad, '＃'}, {big5, 0xa15a, 0xa15a, '＿'}, {big5, 0xa1c4, 0xa1c4, '＿'}, {big5, 0xa15d, 0xa15d, '－'}, {big5, 0xa1d0, 0xa1d0, '－'},
}

// isOverlong reports whether s begins with UTF-8 that is longer than its
// character needs, or with a surrogate. Old decoders read C0 AF as a slash.
func isOverlong(s []byte) bool {
	isContinuation := func(i int) bool { return len(s) > i && s[i]&0xc0 == 0x80 }
	if !isContinuation(1) {
		return false
	}
	switch lead, next := s[0], s[1]; lead {
	case 0xc0, 0xc1:
		return true
	case 0xe0:
		return next < 0xa0 && isContinuation(2)
	case 0xed:
		return next >= 0xa0 && isContinuation(2)
	case 0xf0:
		return next < 0x90 && isContinuation(2)
	case 0xf8:
		return next < 0x88 && isContinuation(2)
	case 0xfc:
		return next < 0x84 && isContinuation(2)
	default:
		return false
	}
}
