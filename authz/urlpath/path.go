// Package urlpath reads the paths of requests, and the patterns that they are
// compared with. It refuses a path that two programs could read differently. It
// decodes and normalizes nothing that is passed on: the upstream receives what was
// checked.
package urlpath

import (
	"strings"
	"unicode/utf8"

	"keyward/chars"
)

// Limits of a request target. A path over either is refused as ambiguous,
// because proxies and servers truncate at different lengths.
const (
	maxPathBytes    = 8192
	maxPathSegments = 256
)

// Path is a request path that every program in the chain reads alike. Only
// ParsePath makes one. The zero Path matches no pattern.
type Path struct {
	sent      string
	canonical string
	decoded   string
	// others are how servers that expect another character encoding read a
	// path whose escapes are not valid UTF-8; nil for all other paths.
	others *[]Path
	// pathCase is the rules'. If it is CaseInsensitive, canonical is in folded
	// case, and is compared with folded patterns.
	pathCase Case
}

// Parse returns the path of a raw request target (RFC 9112 section 3.2.1).
// It refuses a path that two programs could read differently, whatever the path
// would resolve to. Nothing is normalized.
func Parse(target string, rules Rules) (Path, error) {
	sent, query, _ := strings.Cut(target, "?")
	p := Path{sent: sent, canonical: sent, decoded: sent, pathCase: rules.Case}
	if isLiteralPath(sent) && !chars.InvalidTarget.Any(query) {
		return p, nil
	}
	if chars.InvalidTarget.Any(target) {
		return Path{}, inTarget
	}
	if sent == "" || sent[0] != '/' {
		return Path{}, withoutSlash
	}
	if len(sent) > maxPathBytes {
		return Path{}, tooLong
	}
	if err := scanPath(sent, rules); err != nil {
		return Path{}, err
	}
	if err := scanSegments(sent, rules); err != nil {
		return Path{}, err
	}
	left := maxWork
	if err := p.computeReadings(rules, &left); err != nil {
		return Path{}, err
	}
	return p, nil
}

// isLiteralPath recognizes, in one pass, the common paths that no rule applies
// to and that every server reads alike. False only means that the path has to
// be scanned.
func isLiteralPath(path string) bool {
	if path == "" || path[0] != '/' || len(path) > maxPathBytes {
		return false
	}
	segments := 0
	for i := range len(path) {
		if chars.PathLiteral.Is(path[i]) {
			continue
		}
		if path[i] != '/' || i > 0 && path[i-1] == '/' { // scanSegments handles empty segments
			return false
		}
		segments++
	}
	return segments <= maxPathSegments
}

// String returns the path as it was sent, without the query.
func (p Path) String() string { return p.sent }

// Decoded returns the path as the most permissive server would read it: fully
// decoded, parameters and what looks like a query cut off, slashes merged, the
// ends of segments trimmed, look-alikes folded if the operator allows them and,
// unless case matters, in folded case. It equals the canonical path if
// none of these steps changes it. Routes are looked up by both, see package
// policy.
func (p Path) Decoded() Path { return Path{sent: p.sent, canonical: p.decoded, decoded: p.decoded} }

// OtherReadings returns how servers read the path that do not take its escapes
// for UTF-8, in the form of Decoded. It is empty for a path that all servers
// take for UTF-8.
func (p Path) OtherReadings() []Path {
	if p.others == nil {
		return nil
	}
	return *p.others
}

// IsUTF8 reports whether the path is valid UTF-8, however often a server
// decodes it.
func (p Path) IsUTF8() bool { return p.others == nil }

// IsAmbiguous reports whether a permissive server would read a different path
// than the one that is checked.
func (p Path) IsAmbiguous() bool { return p.decoded != p.canonical }

// Canonical returns the path that patterns are compared with: as sent, with the
// hex digits of its escapes in upper case, and in folded case if case does not
// matter.
func (p Path) Canonical() string { return p.canonical }

// scanPath checks each byte and each escape.
func scanPath(sent string, rules Rules) error {
	for i := 0; i < len(sent); i++ {
		switch c := sent[i]; {
		case c >= 0x80:
			return outsideASCII
		case c == '\\':
			return backslash
		case c == ';' && !rules.Semicolon:
			return semicolon
		case c == '%':
			n, err := scanEscapes(sent[i:], rules)
			if err != nil {
				return err
			}
			i += n - 1
		}
	}
	return nil
}

// scanEscapes checks the character that the escapes at the start of s spell. It
// returns the number of bytes that they take.
func scanEscapes(s string, rules Rules) (int, error) {
	c, ok := unescape(s)
	if !ok {
		return 0, malformedEscape
	}
	if c < utf8.RuneSelf {
		return 3, checkEscaped(c, rules)
	}
	var bytes [utf8.UTFMax]byte
	n := decodeHighBytes(s, &bytes)
	r, size := utf8.DecodeRune(bytes[:n])
	if r == utf8.RuneError && size <= 1 {
		if isOverlong(bytes[:n]) {
			return 0, overlong
		}
		return 3, invalidUTF8.unless(rules.NonUTF8)
	}
	if r < 0xa0 {
		return 0, encodedControl
	}
	if !rules.LookAlike && isConfusableWithPathChar(r) {
		return 0, pathLookAlike
	}
	if !rules.LookAlike && isConfusableWithLetter(r) {
		return 0, letterLookAlike
	}
	return 3 * size, nil
}

// decodeHighBytes decodes the escapes at the start of s, as far as they stand
// for bytes outside ASCII and as many as a character may have. It returns the
// number of bytes.
func decodeHighBytes(s string, bytes *[utf8.UTFMax]byte) (n int) {
	for n < len(bytes) {
		b, ok := unescape(s[min(3*n, len(s)):])
		if !ok || b < utf8.RuneSelf {
			break
		}
		bytes[n] = b
		n++
	}
	return n
}

// checkEscaped returns an error if the ASCII character may not be sent encoded.
func checkEscaped(c byte, rules Rules) error {
	switch {
	case c < 0x20 || c == 0x7f:
		return encodedControl
	case c == '/':
		return encodedSlash.unless(rules.EncodedSlash)
	case c == '%':
		return encodedPercent.unless(rules.EncodedPercent)
	case c == ';':
		return encodedSemicolon.unless(rules.Semicolon)
	case c == '\\':
		return encodedBackslash.unless(rules.EncodedBackslash)
	case c == '?' || c == '#':
		return encodedDelimiter.unless(rules.EncodedDelimiter)
	case c == '.' || c == '-' || c == '_' || chars.Alphanumeric.Is(c):
		return encodedPlain.unless(rules.EncodedUnreserved)
	default:
		return nil
	}
}

// scanSegments checks the segments of a path. Only the last may be empty. None
// may consist of dots alone, or of dots and what a server trims.
func scanSegments(path string, rules Rules) error {
	segments := 0
	for rest, more := path[1:], true; more; segments++ {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch {
		case segment == "" && more && !rules.EmptySegment:
			return emptySegment
		case segment != "" && strings.Trim(segment, ".") == "":
			return dotSegment
		case segment != "" && trimSegment(segment) == "":
			return blankSegment
		}
	}
	if segments > maxPathSegments {
		return tooManySegments
	}
	return nil
}

// unescape decodes the %XX at the start of s.
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
	return chars.Alphanumeric.Is(c) || c == '-' || c == '.' || c == '_' || c == '~'
}
