package authz

// class says of an ASCII byte in which of the grammars it may stand. Every
// check reads some hundred bytes of its request; a table tells in one load what
// comparisons tell in ten.
type class uint8

const (
	alphanumeric class = 1 << iota
	token68            // RFC 9110 section 11.2, without the "=" at the end
	printable          // visible ASCII and space
	headerSafe         // may stand in a header value as it is, see headerValue
	folded             // in a lower-case name, see collapse
	pathPlain          // means itself in a path, to every server: no separator, dot, escape, parameter or capital letter
	targetBad          // can stand nowhere in a request target
	disguise           // makes another name of a query parameter to some servers
)

// classes has the classes of each byte.
var classes = func() (table [256]class) {
	for i := range table {
		c := byte(i)
		set := func(k class, holds bool) {
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
		set(folded, !lower && !digit && c != '-')
		set(pathPlain, 0x20 < c && c < 0x7f && !upper && c != '/' && c != '.' && c != '%' && c != ';' && c != '\\' && c != '?' && c != '#')
		set(targetBad, c <= 0x20 || c == '#' || c == 0x7f)
		set(disguise, c == '%' || c == '+' || c == ';')
	}
	return table
}()

func (k class) is(c byte) bool { return classes[c]&k != 0 }

// all tells whether every byte of s is of the class.
func (k class) all(s string) bool {
	common := k
	for ; len(s) >= 4; s = s[4:] { // no branch until the end: texts are short, and nearly all are as they should be
		common &= classes[s[0]] & classes[s[1]] & classes[s[2]] & classes[s[3]]
	}
	for i := range len(s) {
		common &= classes[s[i]]
	}
	return common == k
}

// any tells whether some byte of s is of the class.
func (k class) any(s string) bool {
	seen := class(0)
	for ; len(s) >= 4; s = s[4:] {
		seen |= classes[s[0]] | classes[s[1]] | classes[s[2]] | classes[s[3]]
	}
	for i := range len(s) {
		seen |= classes[s[i]]
	}
	return seen&k != 0
}
