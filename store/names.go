package store

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"keyward/apikey"
	"keyward/chars"
	"keyward/store/jsonline"
)

// Names that a file holds already are read as they are. A new name must be one
// that no other name looks the same as: people compare names by eye.

// ValidUserName reports whether name can be a user's in a file: 1 to 255 bytes
// of UTF-8 without control characters and without the colon, which ends the
// name in Basic credentials. A new user's name must be more: [CheckUserName].
func ValidUserName(name string) bool {
	return name != "" && jsonline.ValidText([]byte(name)) && !strings.Contains(name, ":")
}

// CheckUserName returns why no user can be made with the name; the error is ErrInvalid.
func CheckUserName(name string) error {
	if !ValidUserName(name) {
		return fmt.Errorf("%w: a user's name must be 1 to %d bytes of UTF-8 without control characters and ':'", ErrInvalid, jsonline.MaxText)
	}
	return checkKeysUser(name)
}

// ReservedUserName reports whether upstreams could take a user of that name
// for a key or a client, whose ids are subjects too.
func ReservedUserName(name string) bool {
	return strings.HasPrefix(name, apikey.IDPrefix) || strings.HasPrefix(name, ClientIDPrefix)
}

// checkKeysUser is CheckUserName for the name of a user that a key acts for,
// which need not be in a users file.
func checkKeysUser(name string) error {
	if ReservedUserName(name) {
		return fmt.Errorf("%w: a user's name must not begin with k_ or c_: upstreams take those for the ids of keys and clients", ErrInvalid)
	}
	return checkName("user's name", name)
}

// checkName returns why a new record cannot have the name, which is called
// what in the error. The empty name is one.
func checkName(what, name string) error {
	if !jsonline.ValidText([]byte(name)) {
		return fmt.Errorf("%w: a %s must be at most %d bytes of UTF-8 without control characters", ErrInvalid, what, jsonline.MaxText)
	}
	if problem := looksLikeAnother(name); problem != "" {
		return fmt.Errorf("%w: a %s %s", ErrInvalid, what, problem)
	}
	return nil
}

// checkText returns why a record cannot have the text that describes it to people,
// which is called what in the error. The empty text is one.
func checkText(what, text string, maxBytes int) error {
	if len(text) > maxBytes || !chars.IsLine([]byte(text)) || strings.IndexFunc(text, chars.IsHidden) >= 0 {
		return fmt.Errorf("%w: a %s must be at most %d bytes of UTF-8 without control and other hidden characters", ErrInvalid, what, maxBytes)
	}
	return nil
}

// CheckReason returns why an act cannot have the reason; the error is ErrInvalid.
func CheckReason(text string) error { return checkText("reason", text, jsonline.MaxText) }

// looksLikeAnother says what makes the name look like another one, "" for nothing.
func looksLikeAnother(name string) string {
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
	if utf8.ValidString(text) && looksLikeAnother(text) == "" && !strings.HasPrefix(text, `"`) {
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
