package urlpath

import "errors"

// ErrAmbiguous matches every error that Parse returns.
var ErrAmbiguous error = Ambiguity{Kind: "another path to some server"}

// Ambiguity is a kind of path that two programs could read differently. As an
// error it is why such a path is refused.
type Ambiguity struct {
	Kind string
	// Word is the word of paths.allow that accepts this kind of path; "" if
	// none does.
	Word string
}

// Error implements error.
func (a Ambiguity) Error() string {
	if a.Word == "" {
		return "ambiguous path: " + a.Kind
	}
	return "ambiguous path: " + a.Kind + " (paths.allow: " + a.Word + " would allow it)"
}

// Is implements the method that errors.Is calls.
func (a Ambiguity) Is(target error) bool { return target == ErrAmbiguous }

// The kinds. docs/reasons.md lists them.
var (
	inTarget         = Ambiguity{Kind: "control byte, space or # in the target"}
	withoutSlash     = Ambiguity{Kind: "does not start with /"}
	tooLong          = Ambiguity{Kind: "longer than 8192 bytes"}
	tooManySegments  = Ambiguity{Kind: "more than 256 segments"}
	outsideASCII     = Ambiguity{Kind: "raw byte outside ASCII"}
	backslash        = Ambiguity{Kind: "backslash"}
	malformedEscape  = Ambiguity{Kind: "malformed percent escape"}
	encodedControl   = Ambiguity{Kind: "encoded control character"}
	overlong         = Ambiguity{Kind: "escapes of overlong UTF-8 or of surrogates"}
	dotSegment       = Ambiguity{Kind: "segment of dots"}
	blankSegment     = Ambiguity{Kind: "segment of dots and spaces"}
	decodedDots      = Ambiguity{Kind: "segment of dots to servers that decode the path"}
	encodedTooOften  = Ambiguity{Kind: "encoded too often"}
	dependsOnOrder   = Ambiguity{Kind: "another path to servers that decode, cut and clean it in another order"}
	semicolon        = Ambiguity{Kind: "semicolon", Word: "semicolon"}
	encodedSemicolon = Ambiguity{Kind: "encoded semicolon", Word: "semicolon"}
	encodedSlash     = Ambiguity{Kind: "encoded slash", Word: "encoded-slash"}
	encodedPercent   = Ambiguity{Kind: "encoded percent sign", Word: "encoded-percent"}
	encodedPlain     = Ambiguity{Kind: "encoded unreserved character", Word: "encoded-unreserved"}
	emptySegment     = Ambiguity{Kind: "empty segment", Word: "empty-segment"}
	encodedDelimiter = Ambiguity{Kind: "encoded ? or #", Word: "encoded-delimiter"}
	encodedBackslash = Ambiguity{Kind: "encoded backslash", Word: "encoded-backslash"}
	pathLookAlike    = Ambiguity{Kind: "look-alike of a path character", Word: "look-alike"}
	letterLookAlike  = Ambiguity{Kind: "look-alike of an ASCII letter or digit", Word: "look-alike"}
	invalidUTF8      = Ambiguity{Kind: "escapes that are not valid UTF-8", Word: "non-utf8"}
)

// Ambiguities returns all kinds for which Parse refuses a path.
func Ambiguities() []Ambiguity {
	return []Ambiguity{
		inTarget, withoutSlash, tooLong, tooManySegments, outsideASCII, backslash, malformedEscape, encodedControl, overlong,
		dotSegment, blankSegment, decodedDots, encodedTooOften, dependsOnOrder, semicolon, encodedSemicolon, encodedSlash,
		encodedPercent, encodedPlain, emptySegment, encodedDelimiter, encodedBackslash, pathLookAlike, letterLookAlike, invalidUTF8,
	}
}

// Rules says which spellings that are refused by default the operator has
// allowed for the server. The zero value allows none.
type Rules struct {
	Semicolon         bool // ";" within a segment
	EncodedSlash      bool // %2F
	EncodedPercent    bool // %25
	EncodedUnreserved bool // %61 and the like
	EmptySegment      bool // "//"
	EncodedDelimiter  bool // %3F and %23
	EncodedBackslash  bool // %5C
	LookAlike         bool // non-ASCII characters that servers may take for ASCII ones
	NonUTF8           bool // escapes of bytes that are not valid UTF-8
	Case              Case
}

// Words returns the setting of each word of paths.allow.
func (r *Rules) Words() map[string]*bool {
	return map[string]*bool{
		semicolon.Word: &r.Semicolon, encodedSlash.Word: &r.EncodedSlash, encodedPercent.Word: &r.EncodedPercent,
		encodedPlain.Word: &r.EncodedUnreserved, emptySegment.Word: &r.EmptySegment, encodedDelimiter.Word: &r.EncodedDelimiter,
		encodedBackslash.Word: &r.EncodedBackslash, pathLookAlike.Word: &r.LookAlike, invalidUTF8.Word: &r.NonUTF8,
	}
}

// WordFor returns the word of paths.allow that accepts a spelling, such as "%2F",
// within a path; "" if the spelling is not refused, or no word accepts it.
func WordFor(spelling string) string {
	_, err := Parse("/a"+spelling+"b", Rules{})
	kind, _ := errors.AsType[Ambiguity](err)
	return kind.Word
}

// permissiveRules allow everything that changes no other spelling: encoded
// unreserved characters would be decoded in the canonical path.
var permissiveRules = Rules{
	Semicolon: true, EncodedSlash: true, EncodedPercent: true, EmptySegment: true,
	EncodedDelimiter: true, EncodedBackslash: true, LookAlike: true, NonUTF8: true,
}

// unless returns nil if the operator allows this kind of path.
func (a Ambiguity) unless(allowed bool) error {
	if allowed {
		return nil
	}
	return a
}
