// Package pathreadings is a model of how upstreams read the path of a request.
// It shares no code with package urlpath, whose tests compare the two. It is
// for tests only.
package pathreadings

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/unicode/norm"
)

// Steps is the number of steps that each chain of upstreams takes.
const Steps = 4

// steps are what servers do to a path. Each server takes some of them, in any
// order.
var steps = []func(string) string{
	decoded, withoutParameters, merged,
	func(path string) string { return strings.ReplaceAll(path, `\`, "/") },
	upTo("?"), upTo("#"), upTo("\x00"),
	norm.NFKC.String, bestFit,
}

// charset is how servers turn the bytes of a path into characters.
type charset func(path string) string

// inUTF8 are how servers do that for which paths are in UTF-8.
var inUTF8 = []charset{
	func(path string) string { return path },
	func(path string) string { return strings.ToValidUTF8(path, "") },
	func(path string) string { return strings.ToValidUTF8(path, "?") },
	func(path string) string { return strings.ToValidUTF8(path, "\ufffd") },
}

// inOthers are how all other servers do that.
var inOthers = []charset{
	from(charmap.ISO8859_1), from(charmap.Windows1252), from(japanese.ShiftJIS), from(japanese.EUCJP),
	from(simplifiedchinese.GBK), from(korean.EUCKR), from(traditionalchinese.Big5),
}

// Each calls visit with every path that a chain of upstreams may read. The
// upstreams of a chain have one charset, and fold characters that look like
// ASCII ones only if folds is set or the path is not valid UTF-8.
func Each(path string, folds bool, visit func(reading string)) {
	each(slices.Concat(inUTF8, inOthers), path, folds, visit)
}

// EachInUTF8 does the same for upstreams for which paths are in UTF-8.
func EachInUTF8(path string, folds bool, visit func(reading string)) {
	each(inUTF8, path, folds, visit)
}

func each(charsets []charset, path string, folds bool, visit func(reading string)) {
	for _, charset := range charsets {
		seen := map[string]bool{path: true}
		last := []string{path}
		for range Steps {
			var next []string
			for _, from := range last {
				for i, step := range steps {
					if i >= len(steps)-2 && !folds && utf8.ValidString(from) && utf8.ValidString(decoded(path)) {
						continue
					}
					to := step(from)
					if i == 0 && to != from && isASCII(from) {
						to = charset(to)
					}
					if !seen[to] {
						seen[to] = true
						next = append(next, to)
					}
				}
			}
			last = next
		}
		for reading := range seen {
			visit(reading)
			visit(trimmed(reading))
		}
		if isASCII(decoded(decoded(path))) {
			return // all charsets read the same
		}
	}
}

// Lower returns the path in the ways in which upstreams that ignore case
// compare it.
func Lower(path string) []string {
	return []string{strings.ToLower(path), strings.ToLower(strings.ToUpper(path))}
}

// HasDotSegment reports whether a segment has another meaning than a name, to
// some file system.
func HasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment != "" && strings.Trim(segment, ".") == "" {
			return true
		}
	}
	return false
}

func from(e encoding.Encoding) charset {
	return func(path string) string {
		text, err := e.NewDecoder().String(path)
		if err != nil {
			return path
		}
		return text
	}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func upTo(end string) func(string) string {
	return func(path string) string { path, _, _ = strings.Cut(path, end); return path }
}

// bestFit is some of what Windows converts to ASCII.
func bestFit(path string) string {
	return strings.NewReplacer("\u2044", "/", "\u2215", "/", "\u2216", `\`, "\u00a5", `\`, "\u20a9", `\`, "\uff0f", "/", "\uff3c", `\`, "\uff0e", ".", "\uff05", "%").Replace(path)
}

// decoded decodes once, and leaves everything that is not an escape.
func decoded(path string) string {
	parts := strings.SplitAfter(strings.ReplaceAll(path, "%", "\x01%"), "\x01")
	for i, part := range parts {
		part = strings.TrimSuffix(part, "\x01")
		if len(part) >= 3 {
			if c, err := url.PathUnescape(part[:3]); err == nil {
				part = c + part[3:]
			}
		}
		parts[i] = part
	}
	return strings.Join(parts, "")
}

func withoutParameters(path string) string {
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i], _, _ = strings.Cut(segments[i], ";")
	}
	return strings.Join(segments, "/")
}

func merged(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

func trimmed(path string) string {
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = strings.TrimRightFunc(strings.TrimLeftFunc(segments[i], unicode.IsSpace), func(c rune) bool { return c == '.' || unicode.IsSpace(c) })
	}
	return strings.Join(segments, "/")
}
