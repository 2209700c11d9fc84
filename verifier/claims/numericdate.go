package claims

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// maxNumericDate is the first second of the year 10000; every NumericDate is
// below it.
const maxNumericDate = 253402300800

// maxDateLength bounds the text of a NumericDate, and maxDateExponentDigits its
// exponent. No issuer needs more.
const (
	maxDateLength         = 64
	maxDateExponentDigits = 2
)

// OptionalDate reads a date, if the member is present. It reports whether the
// member is absent or a date.
func OptionalDate(members map[string]any, name string, into *time.Time) bool {
	v, there := members[name]
	if !there {
		return true
	}
	var ok bool
	*into, ok = ParseNumericDate(v)
	return ok
}

// ParseNumericDate reads a NumericDate (RFC 7519 section 2), as package
// strictjson parses it: seconds since 1970, possibly with a fraction and an
// exponent. It is exact and truncates to nanoseconds; a float would overflow or
// round.
func ParseNumericDate(v any) (date time.Time, ok bool) {
	number, ok := v.(json.Number)
	if !ok || len(number) > maxDateLength {
		return time.Time{}, false
	}
	text := string(number)
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0).UTC(), 0 <= seconds && seconds < maxNumericDate
	}
	digits, point, ok := decimal(text)
	if !ok {
		return time.Time{}, false
	}
	var seconds, nanoseconds int64
	for at := range point {
		if seconds = seconds*10 + digitValue(digits, at); seconds >= maxNumericDate {
			return time.Time{}, false
		}
	}
	for at := point; at < point+9; at++ {
		nanoseconds = nanoseconds*10 + digitValue(digits, at)
	}
	return time.Unix(seconds, nanoseconds).UTC(), true
}

// decimal splits a number that is not negative into its digits and the position
// of the decimal point, which may be before the first digit or after the last.
func decimal(text string) (digits string, point int, ok bool) {
	mantissa, exponent := text, 0
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		mantissa = text[:at]
		var err error
		exponent, err = strconv.Atoi(text[at+1:])
		if err != nil || len(strings.TrimLeft(text[at+1:], "+-")) > maxDateExponentDigits {
			return "", 0, false
		}
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	integer, fraction, _ := strings.Cut(mantissa, ".")
	digits = integer + fraction
	if strings.Trim(digits, "0123456789") != "" || negative && strings.Trim(digits, "0") != "" {
		return "", 0, false
	}
	return digits, len(integer) + exponent, true
}

// digitValue returns the value of a digit, 0 before the first and after the
// last.
func digitValue(digits string, at int) int64 {
	if at < 0 || at >= len(digits) {
		return 0
	}
	return int64(digits[at] - '0')
}
