package page

import (
	"keyward/manage/fault"
)

// WrongPassword returns what a page says of a password that was not accepted; false for
// any other error, and for none.
func WrongPassword(err error) (string, bool) {
	e := fault.AsError(err)
	switch {
	case e == nil:
		return "", false
	case e.Code == fault.Invalid:
		return "Username or password incorrect.", true
	case e.Code == fault.RateLimited:
		return "Too many failed attempts from your address. Wait for a minute, and try again.", true
	case e.Code == fault.Overloaded:
		return "Too many passwords are being verified. Wait for a moment, and try again.", true
	default:
		return "", false
	}
}
