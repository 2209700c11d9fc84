package jsonline

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"keyward/chars"
)

// Error is what is wrong with a line. It never repeats the line's content.
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// Unless returns the error if ok is false.
func (e Error) Unless(ok bool) error {
	if ok {
		return nil
	}
	return e
}

// What may be wrong with any line.
const (
	ErrSyntax Error = "not a JSON object"
	ErrUTF8   Error = "not valid UTF-8"
	ErrTwice  Error = "a member twice"
	ErrType   Error = "a member of the wrong type"
)

// Scanner parses one flat JSON object, in one pass and in place. It is stricter than
// encoding/json: no null, no lone surrogate, no invalid UTF-8. What it accepts it
// reads as encoding/json does, which a fuzz test checks.
type Scanner struct {
	text []byte
	at   int
	name int // where the last member begins, with white space before it
}

// NewScanner returns a Scanner at the start of the line.
func NewScanner(line []byte) Scanner { return Scanner{text: line} }

// Object calls member with the name of each member; member must read the value.
func (s *Scanner) Object(member func(name []byte) error) error {
	if !s.next('{') {
		return ErrSyntax
	}
	if s.next('}') {
		return nil
	}
	for {
		s.name = s.at
		name, ok := s.ReadString()
		if !ok || !s.next(':') {
			return ErrSyntax
		}
		if err := member(name); err != nil {
			return err
		}
		if s.next('}') {
			return nil
		}
		if !s.next(',') {
			return ErrSyntax
		}
	}
}

// Array calls element for each element, which must read it.
func (s *Scanner) Array(element func() error) error {
	if !s.next('[') {
		return ErrType
	}
	if s.next(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.next(']') {
			return nil
		}
		if !s.next(',') {
			return ErrSyntax
		}
	}
}

// End reports whether only white space is left.
func (s *Scanner) End() bool {
	s.space()
	return s.at == len(s.text)
}

func (s *Scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// next steps over white space and over c, if c is what follows.
func (s *Scanner) next(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	s.space()
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// ReadString reads a string. The slice is valid for as long as the bytes of the line.
func (s *Scanner) ReadString() ([]byte, bool) {
	if !s.next('"') {
		return nil, false
	}
	start := s.at
	for i := start + plainBytes(s.text[start:]); i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			s.at = i + 1
			return s.text[start:i], true
		case c == '\\':
			return s.unescape(start, i)
		case c < 0x20:
			return nil, false
		}
	}
	return nil, false
}

// plainBytes counts, eight at a time, bytes before the first that means
// something in a string: a quote, a backslash or a control character. Strings
// are most of a file, and this is what makes reading a million lines quick.
func plainBytes(text []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; n+8 <= len(text); n += 8 {
		w := binary.LittleEndian.Uint64(text[n:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		found := ((quote-ones)&^quote | (slash-ones)&^slash | (w-' '*ones)&^w) & highs
		if found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	return n
}

// unescape reads on from the first backslash of a string that began at start.
func (s *Scanner) unescape(start, slash int) ([]byte, bool) {
	out := append([]byte(nil), s.text[start:slash]...)
	s.at = slash
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case c == '"':
			return out, true
		case c < 0x20:
			return nil, false
		case c != '\\':
			out = append(out, c)
		default:
			r, ok := s.escape()
			if !ok {
				return nil, false
			}
			out = utf8.AppendRune(out, r)
		}
	}
	return nil, false
}

// escape reads what follows a backslash.
func (s *Scanner) escape() (rune, bool) {
	if s.at >= len(s.text) {
		return 0, false
	}
	c := s.text[s.at]
	s.at++
	if c == 'u' {
		return s.codePoint()
	}
	char, ok := chars.JSONEscape(c)
	return rune(char), ok
}

// codePoint reads four hexadecimal digits, and the second half of a surrogate
// pair behind them. Half a pair is refused.
func (s *Scanner) codePoint() (rune, bool) {
	r, ok := s.hex4()
	switch {
	case !ok || 0xdc00 <= r && r <= 0xdfff:
		return 0, false
	case r < 0xd800 || r > 0xdfff:
		return r, true
	}
	if s.at+1 >= len(s.text) || s.text[s.at] != '\\' || s.text[s.at+1] != 'u' {
		return 0, false
	}
	s.at += 2
	low, ok := s.hex4()
	if !ok || low < 0xdc00 || low > 0xdfff {
		return 0, false
	}
	return (r-0xd800)<<10 + (low - 0xdc00) + 0x10000, true
}

func (s *Scanner) hex4() (rune, bool) {
	if s.at+4 > len(s.text) {
		return 0, false
	}
	r := rune(0)
	for _, c := range s.text[s.at : s.at+4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	s.at += 4
	return r, true
}

// maxInteger is the largest integer that every reader of JSON keeps exact.
const maxInteger = 1 << 53

// ReadInteger reads an integer from 0 to 2^53.
func (s *Scanner) ReadInteger() (int64, bool) {
	s.space()
	start, n := s.at, int64(0)
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		n = n*10 + int64(s.text[s.at]-'0')
		s.at++
		if n > maxInteger {
			return 0, false
		}
	}
	digits := s.at - start
	return n, digits == 1 || digits > 1 && s.text[start] != '0'
}

// ReadBool reads true or false.
func (s *Scanner) ReadBool() (value, ok bool) {
	s.space()
	switch rest := s.text[s.at:]; {
	case len(rest) >= 4 && string(rest[:4]) == "true":
		s.at += 4
		return true, true
	case len(rest) >= 5 && string(rest[:5]) == "false":
		s.at += 5
		return false, true
	default:
		return false, false
	}
}

// readStrings reads an array of strings into the capacity of dst.
func (s *Scanner) readStrings(dst [][]byte) ([][]byte, error) {
	dst = dst[:0]
	err := s.Array(func() error {
		text, ok := s.ReadString()
		if !ok {
			return ErrType
		}
		dst = append(dst, text)
		return nil
	})
	return dst, err
}
