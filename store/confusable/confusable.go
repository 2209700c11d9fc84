// Package confusable finds names that look like another one, and shows texts so that
// the difference is seen (Unicode Technical Standard 39).
package confusable

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"keyward/chars"
)

// Problem says what makes a new name look like another one, "" for nothing.
func Problem(name string) string {
	if i := strings.IndexFunc(name, chars.IsHidden); i >= 0 {
		r, _ := utf8.DecodeRuneInString(name[i:])
		return fmt.Sprintf("must not have hidden characters such as %U", r)
	}
	first, _ := utf8.DecodeRuneInString(name)
	switch {
	case strings.HasPrefix(name, " ") || strings.HasSuffix(name, " ") || strings.Contains(name, "  "):
		return "must not begin or end with a space, or have two spaces in a row"
	case unicode.Is(unicode.M, first):
		return "must not begin with a combining mark"
	case !norm.NFC.IsNormalString(name):
		return "must be in Unicode's composed form (NFC): a letter and its accent are one character where there is one"
	}
	return ""
}

// Shown returns the text as it is printed for people: as it stands, or, where
// another text looks the same, quoted and in ASCII.
func Shown(text string) string {
	if utf8.ValidString(text) && Problem(text) == "" && !strings.HasPrefix(text, `"`) {
		return text
	}
	return strconv.QuoteToASCII(text)
}

// MixedScripts returns the scripts of the name's letters where they are not
// usually written together, so that one may stand in for another (Cyrillic а in
// a Latin name); else nil. It is the Highly Restrictive level of Unicode
// Technical Standard 39, but for scripts that share characters.
func MixedScripts(name string) []string {
	var scripts []string
	for _, r := range name {
		if r >= utf8.RuneSelf || 'a' <= r|0x20 && r|0x20 <= 'z' {
			if script := scriptOf(r); script != "" && !slices.Contains(scripts, script) {
				scripts = append(scripts, script)
			}
		}
	}
	slices.Sort(scripts)
	if len(scripts) < 2 || slices.ContainsFunc(writtenTogether, func(together []string) bool {
		return !slices.ContainsFunc(scripts, func(script string) bool { return !slices.Contains(together, script) })
	}) {
		return nil
	}
	return scripts
}

// writtenTogether are the mixtures that ordinary names in East Asia are.
var writtenTogether = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"},
	{"Latin", "Han", "Bopomofo"},
	{"Latin", "Han", "Hangul"},
}

// scriptOf returns the script that r belongs to, "" for what all scripts share.
func scriptOf(r rune) string {
	for name, table := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(table, r) {
			return name
		}
	}
	return ""
}
