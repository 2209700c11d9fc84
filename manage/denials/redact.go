package denials

import (
	"regexp"
	"strings"

	"keyward/apikey"
)

// redacted takes the place of a credential in a text.
const redacted = "redacted"

// maxKey is the length of the longest key, in bytes.
const maxKey = apikey.MaxPrefix + apikey.UnprefixedLen

// candidate matches a JWT, and what is long enough to be a key.
var candidate = regexp.MustCompile(`eyJ[\w-]+(?:\.[\w-]*)+|[\w-]{38,}`)

// Redact replaces what has the form of a credential: a key of Keyward with any
// prefix, or a JWT, also a truncated one. A client may have put its credential
// where none belongs, such as the path, where no check looks for it. Keys in the
// forms of other systems are not recognized.
func Redact(text string) string {
	if len(text) < apikey.UnprefixedLen { // most paths
		return text
	}
	return candidate.ReplaceAllStringFunc(text, func(word string) string {
		if strings.Contains(word, ".") || isKey(word) {
			return redacted
		}
		return word
	})
}

// isKey reports whether the word is a key, or ends with one, or is the code of a one-time
// link or the value of a session's cookie.
func isKey(word string) bool {
	if strings.Contains(word, apikey.TokenPrefix) {
		return true
	}
	body := len(word) - apikey.UnprefixedLen
	for start := max(0, body-apikey.MaxPrefix); start <= body; start++ {
		if apikey.WellFormed(word[start:], word[start:body]) {
			return true
		}
	}
	return apikey.IsHex(word)
}

// keepRedacted is keep for a text that may have a credential. A credential that
// is cut off is recognized too.
func keepRedacted(text string, maxBytes int) string {
	return keep(Redact(text[:min(len(text), maxBytes+maxKey)]), maxBytes)
}
