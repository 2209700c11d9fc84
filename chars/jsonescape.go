package chars

// JSONEscape returns the character that a backslash and c stand for in a JSON
// string (RFC 8259 section 7). It is false for u, which needs four hexadecimal
// digits, and for every letter that JSON does not have.
func JSONEscape(c byte) (char byte, ok bool) {
	switch c {
	case '"', '\\', '/':
		return c, true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	default:
		return 0, false
	}
}
