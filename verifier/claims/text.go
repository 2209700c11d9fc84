package claims

import (
	"encoding/json"
	"strconv"
	"strings"

	"keyward/authz"
	"keyward/chars"
)

// maxInteger is the largest number of which every JSON reader knows all digits
// (RFC 8259 section 6).
const maxInteger = 1 << 53

// WantName says what Name accepts.
const WantName = "a plain text of 1 to 255 bytes, or a whole number from 0 to 2^53"

// Name returns the text of a claim that names someone or something. Some issuers
// write ids as numbers. A whole number from 0 to 2^53 is its decimal digits. It
// has no fraction, exponent or sign, so that there is one text for each.
func Name(v any) (name string, ok bool) {
	switch v := v.(type) {
	case string:
		return v, chars.IsClaim(v)
	case json.Number:
		return string(v), isInteger(string(v))
	default:
		return "", false
	}
}

// OptionalName reads a claim that must be a name if it is present.
func OptionalName(members map[string]any, member string, into *string) (ok bool) {
	v, present := members[member]
	if !present {
		return true
	}
	name, ok := Name(v)
	if ok {
		*into = name
	}
	return ok
}

// isInteger reports whether a JSON number is written in digits alone. JSON has
// no leading zeros.
func isInteger(number string) bool {
	if strings.Trim(number, "0123456789") != "" {
		return false
	}
	n, err := strconv.ParseUint(number, 10, 64)
	return err == nil && n <= maxInteger
}

// ScopeNames returns the scopes in a text, separated by spaces (RFC 8693 section
// 4.2), or in a list of texts, as some issuers write scp and permissions. If
// strict, each name must be a scope. Otherwise the claim may have the names of
// roles and groups too: those that cannot be scopes are left out, so that they
// grant nothing. The names share no memory with the token.
func ScopeNames(v any, strict bool) (names []string, ok bool) {
	switch v := v.(type) {
	case string:
		names = strings.FieldsFunc(strings.Clone(v), func(r rune) bool { return r == ' ' })
	case []any:
		for _, each := range v {
			name, isText := each.(string)
			if !isText {
				return nil, false
			}
			names = append(names, strings.Clone(name))
		}
	default:
		return nil, false
	}
	kept := names[:0]
	for _, name := range names {
		switch {
		case authz.IsScope(name):
			kept = append(kept, name)
		case strict:
			return nil, false
		}
	}
	return kept, true
}
