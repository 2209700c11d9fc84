package claims

import (
	"strings"

	"keyward/chars"
)

// MediaType returns the typ of a token in the form in which types are compared:
// in lower case, and without the "application/" that issuers may leave out (RFC
// 7515 section 4.1.9).
func MediaType(typ string) string {
	typ = chars.LowerASCII(typ)
	if short, ok := strings.CutPrefix(typ, "application/"); ok && !strings.Contains(short, "/") {
		return short
	}
	return typ
}
