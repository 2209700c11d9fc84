package authz

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Limits of a request target. A path over either is refused as ambiguous:
// proxies and servers cut at different lengths.
const (
	maxPathBytes    = 8192
	maxPathSegments = 256
)

// PathRules says which of the spellings that are refused by default an
// operator has allowed for the whole server. The zero value allows none.
type PathRules struct {
	Semicolon         bool // ";" within a segment
	EncodedSlash      bool // %2F
	EncodedPercent    bool // %25
	EncodedUnreserved bool // %61 and its like
	EmptySegment      bool // "//"
}

// ErrAmbiguousPath is matched by every error ParsePath returns.
var ErrAmbiguousPath = errors.New("ambiguous path")

type pathError string

func (e pathError) Error() string        { return "ambiguous path: " + string(e) }
func (e pathError) Is(target error) bool { return target == ErrAmbiguousPath }

// Path is a request path that every program on the way reads alike. It is
// made by ParsePath alone; the zero Path is inside no pattern.
type Path struct {
	sent      string
	canonical string
	plain     string
}

// ParsePath takes the path out of a raw request target (RFC 9112 section
// 3.2.1), or refuses it: what two programs could read differently is no path,
// whatever it would resolve to. Nothing is normalised.
func ParsePath(target string, rules PathRules) (Path, error) {
	sent, query, _ := strings.Cut(target, "?")
	if rules == (PathRules{}) && isPlainPath(sent) && !targetBad.any(query) {
		return Path{sent: sent, canonical: sent, plain: sent}, nil
	}
	if targetBad.any(target) {
		return Path{}, pathError("control byte, space or # in the target")
	}
	if sent == "" || sent[0] != '/' {
		return Path{}, pathError("does not start with /")
	}
	if len(sent) > maxPathBytes {
		return Path{}, pathError("longer than 8192 bytes")
	}
	encoded, err := scanPath(sent, rules)
	if err != nil {
		return Path{}, err
	}
	if err := scanSegments(sent, rules); err != nil {
		return Path{}, err
	}
	p := Path{sent: sent, canonical: sent, plain: sent}
	if encoded || rules != (PathRules{}) {
		return p.readAsServersDo(rules)
	}
	return p, nil
}

// isPlainPath tells in one look of most paths that no rule has anything to
// say about them. It may be wrong about what it does not take for plain.
func isPlainPath(path string) bool {
	if path == "" || path[0] != '/' || len(path) > maxPathBytes {
		return false
	}
	segments := 0
	for i := range len(path) {
		if pathPlain.is(path[i]) {
			continue
		}
		if path[i] != '/' || i > 0 && path[i-1] == '/' { // an empty segment is for scanSegments to judge
			return false
		}
		segments++
	}
	return segments <= maxPathSegments
}

// String is the path as it was sent, without the query.
func (p Path) String() string { return p.sent }

// Plain is the path as the most eager server would read it: everything
// decoded, parameters cut off, slashes merged. It equals the canonical path
// for a path without escapes. Routes are looked up by both, see policy.
func (p Path) Plain() Path { return Path{sent: p.sent, canonical: p.plain, plain: p.plain} }

// HasTwoReadings tells whether an eager server would read another path than the one that is judged.
func (p Path) HasTwoReadings() bool { return p.plain != p.canonical }

// Canonical is the path that patterns are compared with: as sent, with the hex
// digits of its escapes in upper case.
func (p Path) Canonical() string { return p.canonical }

// scanPath judges each byte and each escape; it tells whether there are escapes.
func scanPath(sent string, rules PathRules) (encoded bool, err error) {
	for i := 0; i < len(sent); i++ {
		switch c := sent[i]; {
		case c >= 0x80:
			return false, pathError("raw byte outside ASCII")
		case c == '\\':
			return false, pathError("backslash")
		case c == ';' && !rules.Semicolon:
			return false, pathError("semicolon")
		case c == '%':
			encoded = true
			n, err := scanEscapes(sent[i:], rules)
			if err != nil {
				return false, err
			}
			i += n - 1
		}
	}
	return encoded, nil
}

// scanEscapes judges the character that the escapes at the start of s spell,
// and returns the number of bytes they take.
func scanEscapes(s string, rules PathRules) (int, error) {
	c, ok := unescape(s)
	if !ok {
		return 0, pathError("malformed percent escape")
	}
	if c < utf8.RuneSelf {
		return 3, judgeEscaped(c, rules)
	}
	var char [utf8.UTFMax]byte
	n := 0
	for n < len(char) && len(s) >= 3*n+3 {
		b, ok := unescape(s[3*n:])
		if !ok || b < utf8.RuneSelf {
			break
		}
		char[n] = b
		n++
		if utf8.FullRune(char[:n]) {
			break
		}
	}
	r, size := utf8.DecodeRune(char[:n])
	if r == utf8.RuneError && size <= 1 {
		return 0, pathError("escapes that are no UTF-8")
	}
	if r < 0xa0 {
		return 0, pathError("encoded control character")
	}
	if looksLikePathCharacter(r) {
		return 0, pathError("look-alike of a path character")
	}
	return 3 * size, nil
}

// judgeEscaped says whether an ASCII character may be sent encoded.
func judgeEscaped(c byte, rules PathRules) error {
	switch {
	case c < 0x20 || c == 0x7f:
		return pathError("encoded control byte")
	case c == '/':
		return allowIf(rules.EncodedSlash, "encoded slash")
	case c == '%':
		return allowIf(rules.EncodedPercent, "encoded percent sign")
	case c == ';':
		return allowIf(rules.Semicolon, "encoded semicolon")
	case c == '\\' || c == '?' || c == '#':
		return pathError("encoded path character")
	case c == '.' || c == '-' || c == '_' || alphanumeric.is(c):
		return allowIf(rules.EncodedUnreserved, "encoded unreserved character")
	default:
		return nil
	}
}

func allowIf(allowed bool, what string) error {
	if allowed {
		return nil
	}
	return pathError(what)
}

// scanSegments judges the segments of a path: none empty but a last one, none of dots alone.
func scanSegments(path string, rules PathRules) error {
	segments := 0
	for rest, more := path[1:], true; more; segments++ {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch {
		case segment == "" && more && !rules.EmptySegment:
			return pathError("empty segment")
		case onlyDots(segment):
			return pathError("segment of dots")
		}
	}
	if segments > maxPathSegments {
		return pathError("more than 256 segments")
	}
	return nil
}

func onlyDots(segment string) bool {
	for i := range len(segment) {
		if segment[i] != '.' {
			return false
		}
	}
	return segment != ""
}

// readAsServersDo fills in the path's two readings, and refuses one whose
// eager reading climbs: an allowed spelling must not smuggle a dot segment.
func (p Path) readAsServersDo(rules PathRules) (Path, error) {
	p.canonical = foldEscapes(p.sent, rules)
	plain, err := decodeAll(p.sent)
	if err != nil {
		return Path{}, err
	}
	p.plain = mergeSlashes(cutParameters(plain))
	if cutFirst, err := decodeAll(cutParameters(p.sent)); err != nil || mergeSlashes(cutParameters(cutFirst)) != p.plain {
		return Path{}, pathError("another path to servers that cut parameters before they decode")
	}
	if err := scanSegments(p.plain, PathRules{}); err != nil {
		return Path{}, err
	}
	return p, nil
}

// foldEscapes writes the hex digits of escapes in upper case; where the
// operator allows encoded unreserved characters it decodes those, since by RFC
// 3986 section 6.2.2.2 they are the same path.
func foldEscapes(s string, rules PathRules) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		c, _ := unescape(s[i:])
		if rules.EncodedUnreserved && isUnreserved(c) {
			b.WriteByte(c)
		} else {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
		i += 2
	}
	return b.String()
}

// decodeAll decodes until nothing is left to decode, as a chain of servers
// that each decode once would. It gives up, and refuses, after four rounds.
func decodeAll(s string) (string, error) {
	for range 4 {
		if !strings.Contains(s, "%") {
			return s, nil
		}
		decoded := decodeOnce(s)
		if decoded == s {
			return s, nil
		}
		s = decoded
	}
	return "", pathError("encoded more than four times")
}

func decodeOnce(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c, ok := unescape(s[i:])
		if s[i] != '%' || !ok {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String()
}

func cutParameters(path string) string {
	if !strings.Contains(path, ";") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i], _, _ = strings.Cut(segment, ";")
	}
	return strings.Join(segments, "/")
}

func mergeSlashes(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// unescape decodes the %XX that s starts with.
func unescape(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi, ok1 := unhex(s[1])
	lo, ok2 := unhex(s[2])
	return hi<<4 | lo, ok1 && ok2
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	default:
		return 0, false
	}
}

func isUnreserved(c byte) bool {
	return alphanumeric.is(c) || c == '-' || c == '.' || c == '_' || c == '~'
}
