package chars

import "strings"

// LowerASCII returns s with the letters A to Z in lower case and every other
// byte unchanged. strings.ToLower turns two characters outside ASCII into ASCII
// letters (U+212A into k, U+0130 into i), so that a later check would accept a
// text that the client did not send. LowerASCII allocates only if a letter
// changes.
func LowerASCII(s string) string {
	first := 0
	for first < len(s) && !isUpperASCII(s[first]) {
		first++
	}
	if first == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:first])
	for i := first; i < len(s); i++ {
		b.WriteByte(LowerByte(s[i]))
	}
	return b.String()
}

// EqualASCIIFold reports whether s equals t, with the letters A to Z in either
// case. strings.EqualFold would take the long s of "Baſic" for an s.
func EqualASCIIFold(s, t string) bool {
	if len(s) != len(t) {
		return false
	}
	for i := range len(s) {
		if LowerByte(s[i]) != LowerByte(t[i]) {
			return false
		}
	}
	return true
}

func isUpperASCII(c byte) bool { return 'A' <= c && c <= 'Z' }

// LowerByte returns c in lower case if it is one of the letters A to Z.
func LowerByte(c byte) byte {
	if isUpperASCII(c) {
		return c + 'a' - 'A'
	}
	return c
}
