package urlpath

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// computeReadings fills in the path's readings. It refuses a path of which some
// reading has a dot segment: a spelling that an operator allows must not
// smuggle one in. left is the work that is allowed.
func (p *Path) computeReadings(rules Rules, left *work) error {
	p.canonical = foldEscapes(p.sent, rules)
	if rules.Case == CaseInsensitive {
		p.canonical = foldEscapedCase(p.canonical)
	}
	if !isRewritten(p.sent) {
		p.decoded = normalize(p.sent, rules.Case)
		return nil
	}
	r := resolver{sent: p.sent, left: left}
	decoded, isUTF8, err := r.resolve(anyBytes, rules.LookAlike)
	if err != nil {
		return err
	}
	p.decoded = normalize(decoded, rules.Case)
	if isUTF8 {
		return nil
	}
	return p.computeOthers(rules, &r)
}

// computeOthers fills in the readings of servers that do not read bytes as
// UTF-8. Such a server may also fold look-alikes, whatever the rules say, since
// the rules only know those of UTF-8.
func (p *Path) computeOthers(rules Rules, r *resolver) error {
	others := make([]Path, 0, charsetCount)
	ends := make([]string, 0, charsetCount)
	for charset := anyBytes + 1; charset < charsetCount; charset++ {
		read, _, err := r.resolve(charset, true)
		if err != nil {
			return err
		}
		if slices.Contains(ends, read) {
			continue
		}
		ends = append(ends, read)
		if err := r.left.normalizing(read); err != nil {
			return err
		}
		read = normalize(read, rules.Case)
		if read != p.decoded && !slices.ContainsFunc(others, func(o Path) bool { return o.decoded == read }) {
			others = append(others, Path{sent: p.sent, canonical: read, decoded: read})
		}
	}
	p.others = &others
	return nil
}

// isRewritten reports whether some step of resolve changes the path, which is
// in ASCII and has no backslash.
func isRewritten(sent string) bool {
	return strings.IndexByte(sent, '%') >= 0 || strings.IndexByte(sent, ';') >= 0 || strings.Contains(sent, "//")
}

// normalize returns a decoded path with its segments trimmed and, unless case
// matters, in folded case.
func normalize(decoded string, pathCase Case) string {
	decoded = trimSegments(decoded)
	if pathCase == CaseSensitive {
		return decoded
	}
	return foldCase(decoded)
}

// step is something that a server does to a path.
type step uint8

const (
	decodeEscapes step = iota
	cutParameters
	mergeSlashes
	turnBackslashes
	cutQuery
	cutFragment
	cutAtNUL
	foldCompatible
	foldSlashLike

	stepCount
)

// do returns the path after the step, as a server with the charset takes it. It
// spends the work of folding.
func (s step) do(path string, as charset, left *work) (string, error) {
	switch s {
	case decodeEscapes:
		return as.decode(path)
	case cutParameters:
		return withoutParameters(path), nil
	case mergeSlashes:
		return withSlashesMerged(path), nil
	case turnBackslashes:
		return strings.ReplaceAll(path, `\`, "/"), nil
	case cutQuery:
		return upTo(path, '?'), nil
	case cutFragment:
		return upTo(path, '#'), nil
	case cutAtNUL: // a C program does
		return upTo(path, 0), nil
	case foldCompatible:
		return left.nfkc(path)
	case foldSlashLike:
		return foldConfusable(path), nil
	default:
		return path, nil
	}
}

func upTo(path string, end byte) string {
	if i := strings.IndexByte(path, end); i >= 0 {
		return path[:i]
	}
	return path
}

// maxReadings limits the paths that resolve tries per charset, beside maxWork. A
// path that is encoded once, with parameters, with slashes to merge and with a
// fragment, has sixteen readings.
const maxReadings = 32

// resolver finds the path that remains of one that was sent.
type resolver struct {
	sent  string
	left  *work
	plain []string // texts outside ASCII that no folding changes, as any charset reads them
}

// resolve returns the path that remains when servers have taken all steps. Each
// server takes them in its own order, and a chain of servers takes them
// repeatedly. resolve tries all orders, and refuses a path for which two of
// them end differently, or one comes upon a dot segment. isUTF8 is false if
// some reading is not valid UTF-8.
//
// No step changes what precedes the character that it is about. Therefore every
// reading on the way to the end is below each plain prefix of the path as sent,
// and above or at each plain prefix of the end, so that comparing the two is
// enough.
func (r *resolver) resolve(as charset, fold bool) (end string, isUTF8 bool, err error) {
	all := make([]string, 1, maxReadings)
	all[0] = r.sent
	found := false
	isUTF8 = true
	for i := 0; i < len(all); i++ {
		reading := all[i]
		if err := r.left.spend(len(reading)); err != nil {
			return "", false, err
		}
		if err := checkReading(reading); err != nil {
			return "", false, err
		}
		isUTF8 = isUTF8 && utf8.ValidString(reading)
		var isEnd bool
		if all, isEnd, err = r.takeSteps(all, reading, as, fold); err != nil {
			return "", false, err
		}
		if !isEnd {
			continue
		}
		if found {
			return "", false, dependsOnOrder
		}
		end, found = reading, true
	}
	return end, isUTF8, nil
}

// takeSteps appends to all what each step makes of the reading, unless it is
// there. isEnd reports that no step changes the reading.
func (r *resolver) takeSteps(all []string, reading string, as charset, fold bool) (_ []string, isEnd bool, err error) {
	steps := stepCount
	if !fold || slices.Contains(r.plain, reading) {
		steps = foldCompatible
	}
	isEnd, isPlain := true, steps == stepCount && !isASCII(reading)
	for s := range steps {
		next, err := s.do(reading, as, r.left)
		switch {
		case err != nil:
			return nil, false, err
		case next == reading:
			continue
		}
		isEnd, isPlain = false, isPlain && s < foldCompatible
		if err := r.left.spend(len(next)); err != nil {
			return nil, false, err
		}
		if slices.Contains(all, next) {
			continue
		}
		if len(all) == maxReadings {
			return nil, false, encodedTooOften
		}
		all = append(all, next)
	}
	if isPlain {
		r.plain = append(r.plain, reading)
	}
	return all, isEnd, nil
}

// checkReading refuses a reading with a dot segment, even if other servers cut
// it off.
func checkReading(reading string) error {
	err := scanSegments(reading, Rules{EmptySegment: true})
	if err == dotSegment {
		return decodedDots
	}
	return err
}

// foldEscapes writes the hex digits of escapes in upper case. Where the
// operator allows encoded unreserved characters, it decodes those: by RFC 3986
// section 6.2.2.2 the path is the same.
func foldEscapes(s string, rules Rules) string {
	if !strings.Contains(s, "%") {
		return s
	}
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
			writeEscape(&b, c)
		}
		i += 2
	}
	return b.String()
}

func writeEscape(b *strings.Builder, c byte) {
	const hex = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(hex[c>>4])
	b.WriteByte(hex[c&15])
}

// DecodeOnce returns s with each percent escape decoded once. An incomplete escape
// stays as it is.
func DecodeOnce(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c, ok := unescape(s[i:])
		if !ok {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String()
}

// withoutParameters removes from each segment everything from the first ";" on.
func withoutParameters(path string) string {
	if !strings.Contains(path, ";") {
		return path
	}
	return mapSegments(path, func(segment string) string {
		segment, _, _ = strings.Cut(segment, ";")
		return segment
	})
}

func withSlashesMerged(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	var b strings.Builder
	b.Grow(len(path))
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}

// trimSegments trims each segment as file systems and frameworks do. Windows
// removes dots and spaces from the end of a name.
func trimSegments(path string) string {
	if strings.IndexFunc(path, isTrimmed) < 0 {
		return path
	}
	return mapSegments(path, trimSegment)
}

func trimSegment(segment string) string {
	return strings.TrimRightFunc(strings.TrimLeftFunc(segment, unicode.IsSpace), isTrimmed)
}

func isTrimmed(c rune) bool { return c == '.' || unicode.IsSpace(c) }

func mapSegments(path string, change func(string) string) string {
	var b strings.Builder
	b.Grow(len(path))
	for rest, more := path, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		b.WriteString(change(segment))
		if more {
			b.WriteByte('/')
		}
	}
	return b.String()
}
