package store

import (
	"fmt"
	"strings"

	"keyward/apikey"
	"keyward/chars"
	"keyward/store/confusable"
	"keyward/store/jsonline"
)

// Names that a file holds already are read as they are. A new name must be one
// that no other name looks the same as: people compare names by eye.

// ValidUserName reports whether name can be a user's in a file: 1 to 255 bytes
// of UTF-8 without control characters. A new user's name must be more:
// [CheckUserName].
func ValidUserName(name string) bool {
	return name != "" && jsonline.ValidText([]byte(name))
}

// CheckUserName returns why no user can be made with the name; the error is ErrInvalid.
func CheckUserName(name string) error {
	if !ValidUserName(name) {
		return fmt.Errorf("%w: a user's name must be 1 to %d bytes of UTF-8 without control characters", ErrInvalid, jsonline.MaxText)
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
	if ReservedUserName(name) || strings.HasPrefix(name, "cli:") { // cli:USER@HOST is a command in the audit log
		return fmt.Errorf("%w: a user's name must not begin with k_, c_ or cli: because keys, clients and commands are called so", ErrInvalid)
	}
	return checkName("user's name", name)
}

// checkName returns why a new record cannot have the name, which is called
// what in the error. The empty name is one.
func checkName(what, name string) error {
	if !jsonline.ValidText([]byte(name)) {
		return fmt.Errorf("%w: a %s must be at most %d bytes of UTF-8 without control characters", ErrInvalid, what, jsonline.MaxText)
	}
	if problem := confusable.Problem(name); problem != "" {
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
