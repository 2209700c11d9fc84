package urlpath

import (
	"slices"
	"strings"
	"unicode"
)

// computeReadings fills in the path's two readings, canonical and decoded. It
// refuses a path whose decoded reading has a dot segment: a spelling that an
// operator allows must not smuggle one in.
func (p *Path) computeReadings(rules Rules) error {
	p.canonical = foldEscapes(p.sent, rules)
	decoded, err := resolve(p.sent)
	if err != nil {
		return err
	}
	if err := scanSegments(decoded, Rules{}); err != nil {
		return err
	}
	p.decoded = trimSegments(decoded)
	switch rules.Case {
	case CaseRefuse:
		p.decoded = foldCase(p.decoded)
	case CaseInsensitive:
		p.canonical, p.decoded = foldEscapedCase(p.canonical), foldCase(p.decoded)
	}
	return nil
}

// maxReadings bounds the number of paths that resolve tries. A path that is
// encoded once, with parameters and with slashes to merge, has eight.
const maxReadings = 16

// resolve returns the path that remains when servers have decoded it, cut off
// its parameters and merged its slashes. Each server does so in its own order,
// and a chain of servers does it repeatedly. resolve tries all orders, and
// refuses a path for which two of them end differently.
func resolve(sent string) (string, error) {
	all := make([]string, 1, maxReadings)
	all[0] = sent
	end := ""
	for i := 0; i < len(all); i++ {
		changed := false
		for _, step := range [...]func(string) string{DecodeOnce, cutParameters, mergeSlashes} {
			next := step(all[i])
			if next == all[i] {
				continue
			}
			changed = true
			if slices.Contains(all, next) {
				continue
			}
			if len(all) == maxReadings {
				return "", ambiguity("encoded too often")
			}
			all = append(all, next)
		}
		if changed {
			continue
		}
		if end != "" {
			return "", ambiguity("another path to servers that decode, cut parameters and merge slashes in another order")
		}
		end = all[i]
	}
	return end, nil
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

// cutParameters removes from each segment everything from the first ";" on.
func cutParameters(path string) string {
	if !strings.Contains(path, ";") {
		return path
	}
	return mapSegments(path, func(segment string) string {
		segment, _, _ = strings.Cut(segment, ";")
		return segment
	})
}

func mergeSlashes(path string) string {
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
