package authz

// byteSet is a set of bytes, such as those that a grammar allows. Every check
// reads some hundred bytes of its request. One load from a table replaces ten
// comparisons.
type byteSet uint8

const (
	alphanumeric       byteSet = 1 << iota
	token68                    // RFC 9110 section 11.2, without the "=" at the end
	printable                  // visible ASCII and space
	headerSafe                 // may appear in a header value unencoded, see headerValue
	aliasChars                 // in a lower-case name, see collapse
	pathLiteral                // every server reads it literally in a path: not a separator, dot, escape, parameter or capital letter
	invalidTargetBytes         // may not appear in a request target
	encodedForms               // some servers read it as another spelling of a query parameter's name
)

// byteSets has, for each byte, the sets that contain it.
var byteSets = func() (table [256]byteSet) {
	for i := range table {
		c := byte(i)
		set := func(k byteSet, holds bool) {
			if holds {
				table[i] |= k
			}
		}
		digit, lower, upper := '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z'
		letterOrDigit := digit || lower || upper
		set(alphanumeric, letterOrDigit)
		set(token68, letterOrDigit || c == '-' || c == '.' || c == '_' || c == '~' || c == '+' || c == '/')
		set(printable, 0x20 <= c && c <= 0x7e)
		set(headerSafe, 0x20 < c && c < 0x7f && c != ',' && c != '%')
		set(aliasChars, !lower && !digit && c != '-')
		set(pathLiteral, 0x20 < c && c < 0x7f && !upper && c != '/' && c != '.' && c != '%' && c != ';' && c != '\\' && c != '?' && c != '#')
		set(invalidTargetBytes, c <= 0x20 || c == '#' || c == 0x7f)
		set(encodedForms, c == '%' || c == '+' || c == ';')
	}
	return table
}()

func (k byteSet) is(c byte) bool { return byteSets[c]&k != 0 }

// all reports whether every byte of s is in the set.
func (k byteSet) all(s string) bool {
	common := k
	for ; len(s) >= 4; s = s[4:] { // no branch until the end: texts are short, and almost all are valid
		common &= byteSets[s[0]] & byteSets[s[1]] & byteSets[s[2]] & byteSets[s[3]]
	}
	for i := range len(s) {
		common &= byteSets[s[i]]
	}
	return common == k
}

// any reports whether some byte of s is in the set.
func (k byteSet) any(s string) bool {
	seen := byteSet(0)
	for ; len(s) >= 4; s = s[4:] {
		seen |= byteSets[s[0]] | byteSets[s[1]] | byteSets[s[2]] | byteSets[s[3]]
	}
	for i := range len(s) {
		seen |= byteSets[s[i]]
	}
	return seen&k != 0
}
