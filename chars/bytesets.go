package chars

// ByteSet is a set of bytes, such as those that a grammar allows. Every check
// reads some hundred bytes of its request. One load from a table replaces ten
// comparisons.
type ByteSet uint8

// The sets. A byte may be in several.
const (
	Alphanumeric  ByteSet = 1 << iota
	Token68               // RFC 9110 section 11.2, without the "=" at the end
	Printable             // visible ASCII and space
	HeaderSafe            // may appear in a header value unencoded, see authz.IdentityHeaders
	AliasChars            // in a lower-case name, that some servers read as "-"
	PathLiteral           // every server reads it literally in a path: not a separator, dot, escape, parameter or capital letter
	InvalidTarget         // may not appear in a request target
	EncodedForms          // some servers read it as another spelling of a query parameter's name
)

// TokenMarks are the characters of a token (RFC 9110 section 5.6.2) that are
// neither letters nor digits.
const TokenMarks = "!#$%&'*+-.^_`|~"

// byteSets has, for each byte, the sets that contain it.
var byteSets = func() (table [256]ByteSet) {
	for i := range table {
		c := byte(i)
		set := func(k ByteSet, holds bool) {
			if holds {
				table[i] |= k
			}
		}
		digit, lower, upper := '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z'
		letterOrDigit := digit || lower || upper
		set(Alphanumeric, letterOrDigit)
		set(Token68, letterOrDigit || c == '-' || c == '.' || c == '_' || c == '~' || c == '+' || c == '/')
		set(Printable, 0x20 <= c && c <= 0x7e)
		set(HeaderSafe, 0x20 < c && c < 0x7f && c != ',' && c != '%')
		set(AliasChars, !lower && !digit && c != '-')
		set(PathLiteral, 0x20 < c && c < 0x7f && !upper && c != '/' && c != '.' && c != '%' && c != ';' && c != '\\' && c != '?' && c != '#')
		set(InvalidTarget, c <= 0x20 || c == '#' || c == 0x7f)
		set(EncodedForms, c == '%' || c == '+' || c == ';')
	}
	return table
}()

// Is reports whether the byte is in the set.
func (k ByteSet) Is(c byte) bool { return byteSets[c]&k != 0 }

// All reports whether every byte of s is in the set.
func (k ByteSet) All(s string) bool {
	common := k
	for ; len(s) >= 4; s = s[4:] { // no branch until the end: texts are short, and almost all are valid
		common &= byteSets[s[0]] & byteSets[s[1]] & byteSets[s[2]] & byteSets[s[3]]
	}
	for i := range len(s) {
		common &= byteSets[s[i]]
	}
	return common == k
}

// Any reports whether some byte of s is in the set.
func (k ByteSet) Any(s string) bool {
	seen := ByteSet(0)
	for ; len(s) >= 4; s = s[4:] {
		seen |= byteSets[s[0]] | byteSets[s[1]] | byteSets[s[2]] | byteSets[s[3]]
	}
	for i := range len(s) {
		seen |= byteSets[s[i]]
	}
	return seen&k != 0
}
