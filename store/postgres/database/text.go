package database

import "strings"

// Storable returns the text as a column can have it: no NUL, and valid UTF-8. Values of
// columns and what they are compared with go through it alike, so that a column selects
// at least what the filter does.
func Storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
