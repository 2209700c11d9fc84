package strictjson

import (
	"unicode/utf16"
	"unicode/utf8"

	"keyward/chars"
)

// string parses a string, whose quote is next. Without escapes it is a
// substring of the text and not a copy.
func (p *parser) string() (string, error) {
	p.at++
	start, ascii := p.at, true
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			s := p.text[start:p.at]
			p.at++
			if !ascii && !utf8.ValidString(s) {
				return "", errUTF8
			}
			return s, nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", errSyntax
		case c >= utf8.RuneSelf:
			ascii = false
		}
		p.at++
	}
	return "", errSyntax
}

// escaped continues from the first escape of a string that began at start.
func (p *parser) escaped(start int) (string, error) {
	s := append(make([]byte, 0, 2*(p.at-start)+16), p.text[start:p.at]...)
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			if !utf8.Valid(s) {
				return "", errUTF8
			}
			return string(s), nil
		case c == '\\':
			decoded, err := p.escape()
			if err != nil {
				return "", err
			}
			s = utf8.AppendRune(s, decoded)
		case c < 0x20:
			return "", errSyntax
		default:
			s = append(s, c)
			p.at++
		}
	}
	return "", errSyntax
}

// escape parses one escape, whose backslash is next, or one pair of surrogates.
func (p *parser) escape() (rune, error) {
	if len(p.text)-p.at < 2 {
		return 0, errSyntax
	}
	c := p.text[p.at+1]
	p.at += 2
	if c == 'u' {
		return p.unicode()
	}
	if char, ok := chars.JSONEscape(c); ok {
		return rune(char), nil
	}
	return 0, errSyntax
}

// unicode parses what follows a \u, and the other half of a surrogate pair.
func (p *parser) unicode() (rune, error) {
	first, err := p.hex4()
	if err != nil || !utf16.IsSurrogate(first) {
		return first, err
	}
	if !p.consume('\\') || !p.consume('u') {
		return 0, errSurrogate
	}
	second, err := p.hex4()
	if err != nil {
		return 0, err
	}
	// DecodeRune returns U+FFFD for halves that do not match, and no pair
	// encodes that character.
	if decoded := utf16.DecodeRune(first, second); decoded != utf8.RuneError {
		return decoded, nil
	}
	return 0, errSurrogate
}

func (p *parser) hex4() (rune, error) {
	if len(p.text)-p.at < 4 {
		return 0, errSyntax
	}
	var v rune
	for range 4 {
		digit := hexDigit(p.text[p.at])
		if digit < 0 {
			return 0, errSyntax
		}
		v = v<<4 | digit
		p.at++
	}
	return v, nil
}

// hexDigit returns the digit's value, or -1.
func hexDigit(c byte) rune {
	switch {
	case isDigit(c):
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	default:
		return -1
	}
}
