package urlpath

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// SubjectSegment is the segment of a route's path that stands for the caller's
// subject.
const SubjectSegment = "{subject}"

// Template is a pattern with a segment that must be the caller's subject:
// "/users/{subject}", or "=/users/{subject}/profile". A prefix is any other
// pattern's.
type Template struct {
	before, after string // the text around the segment
	exact         bool
	segment       int // the number of the segment, from 1
	decoded       *Template
}

// HasBraces reports whether the text of a route's path has a template segment,
// or what may be meant for one.
func HasBraces(text string) bool { return strings.ContainsAny(text, "{}") }

// ParseTemplate parses a path with a template segment, as ParsePattern parses
// one without.
func ParseTemplate(text string, rules Rules) (*Template, error) {
	if err := checkBraces(strings.TrimPrefix(text, "=")); err != nil {
		return nil, fmt.Errorf("path %q: %w", text, err)
	}
	pattern, err := ParsePattern(text, rules)
	if err != nil {
		return nil, err
	}
	t, decoded := newTemplate(pattern.path, pattern.exact), newTemplate(pattern.decoded, pattern.exact)
	if t == nil || decoded == nil {
		return nil, fmt.Errorf("path %q: %w", text, errHiddenSegment)
	}
	t.decoded = decoded
	return t, nil
}

// Decoded returns the template as the most permissive server would read it, see
// Pattern.Decoded.
func (t *Template) Decoded() *Template {
	if t == nil || t.decoded == nil {
		return t
	}
	return t.decoded
}

var (
	errHiddenSegment = errors.New("servers that decode the path do not find {subject} in it, or find it twice: write what precedes it plainly")
	errTwoSegments   = errors.New("{subject} can be one segment only")
	errPartOfSegment = errors.New("{subject} is an entire segment, as in /users/{subject}/files")
	errBraces        = errors.New("braces are for the segment {subject}; write %7B and %7D for those of a path")
)

// checkBraces accepts braces in one segment, {subject}, and nowhere else.
func checkBraces(text string) error {
	found := 0
	for segment := range strings.SplitSeq(text, "/") {
		name, closed := strings.CutSuffix(strings.TrimPrefix(segment, "{"), "}")
		switch {
		case segment == SubjectSegment:
			found++
		case !HasBraces(segment):
		case strings.Contains(segment, SubjectSegment):
			return errPartOfSegment
		case closed && segment[0] == '{' && !HasBraces(name):
			return fmt.Errorf("there is no segment %s, only {subject}, which is the caller's subject", segment)
		default:
			return errBraces
		}
	}
	if found > 1 {
		return errTwoSegments
	}
	return nil
}

// newTemplate returns the template of a path with one segment {subject}; nil
// for any other path.
func newTemplate(path string, exact bool) *Template {
	before, after, found := strings.Cut(path, "/"+SubjectSegment)
	if !found || strings.Contains(after, SubjectSegment) || after != "" && after[0] != '/' {
		return nil
	}
	return &Template{before: before + "/", after: after, exact: exact, segment: strings.Count(before, "/") + 1}
}

// Match returns how many bytes of the path the template is about, and false if
// the path is not the template's or, for a prefix, below it. Any segment but
// the empty one may stand for the subject.
func (t *Template) Match(path Path) (end int, ok bool) {
	rest, ok := strings.CutPrefix(path.canonical, t.before)
	size := strings.IndexByte(rest, '/')
	if size < 0 {
		size = len(rest)
	}
	if !ok || size == 0 || !strings.HasPrefix(rest[size:], t.after) {
		return 0, false
	}
	end = len(t.before) + size + len(t.after)
	switch {
	case end == len(path.canonical):
		return end, true
	case t.exact:
		return 0, false
	default:
		return end, path.canonical[end] == '/' || strings.HasSuffix(t.after, "/")
	}
}

// Why a template does not permit a path.
var (
	errNotSubject = errors.New("the path's segment for {subject} is not the caller's subject, or not plainly written")
	errCapital    = errors.New("the caller's subject is not in lower case, and an upstream that ignores the case of letters could take the path for another caller's: paths.case: sensitive allows it, if no upstream does")
)

// Check returns nil if the path is one of the template's for this subject, and
// otherwise why not. The segment as it was sent, decoded once, must be the
// subject, byte for byte, and every server must read it as that: a subject with
// a slash, a dot at its end or an escape has no path. Unless case matters to
// every server, one in capitals has none either: of alice and Alice, the path is
// alice's. random means that the subject is a random id, and not a name: no two
// differ in case alone.
func (t *Template) Check(path Path, subject string, random bool) error {
	if _, ok := t.Match(path); !ok || subject == "" {
		return errNotSubject
	}
	segment := path.sent
	for range t.segment {
		_, segment, _ = strings.Cut(segment, "/")
	}
	segment, _, _ = strings.Cut(segment, "/")
	segment = DecodeOnce(segment)
	switch {
	case segment != subject || !isReadAlike(segment):
		return errNotSubject
	case !random && path.pathCase != CaseSensitive && foldCase(segment) != segment:
		return errCapital
	default:
		return nil
	}
}

// isReadAlike reports whether a decoded segment remains what it is when servers
// decode it again, cut it, trim it or fold its characters.
func isReadAlike(segment string) bool {
	for i := range len(segment) {
		if c := segment[i]; c < 0x20 || c == 0x7f || strings.IndexByte(`/\;?#`, c) >= 0 {
			return false
		}
	}
	return utf8.ValidString(segment) && DecodeOnce(segment) == segment && trimSegment(segment) == segment &&
		nfkc(segment) == segment && foldConfusable(segment) == segment
}

// Overlaps reports whether some path is both templates', so that neither is
// more specific. Two templates that differ at most in what follows them, or in
// being exact, do not overlap.
func (t *Template) Overlaps(u *Template) bool {
	if t.before == u.before && strings.TrimSuffix(t.after, "/") == strings.TrimSuffix(u.after, "/") {
		return false
	}
	mine, theirs := t.segments(), u.segments()
	for i := range mine {
		if len(mine) != len(theirs) || mine[i] != theirs[i] && mine[i] != SubjectSegment && theirs[i] != SubjectSegment {
			return false
		}
	}
	return true
}

func (t *Template) segments() []string {
	return strings.Split(strings.TrimSuffix(t.before+SubjectSegment+t.after, "/"), "/")
}
