package verifier

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// afterDates is the first second of the year 10000; a NumericDate is below it.
const afterDates = 253402300800

// maxDateText bounds the text of a number that may be a date, and
// maxDateExponent its exponent: either could make exact reading expensive.
const (
	maxDateText     = 64
	maxDateExponent = 2 // digits
)

// optionalDate reads a date, where it is there at all.
func optionalDate(members map[string]any, name string, into *time.Time) bool {
	v, there := members[name]
	if !there {
		return true
	}
	var ok bool
	*into, ok = numericDate(v)
	return ok
}

// numericDate reads a NumericDate (RFC 7519 section 2): seconds since 1970 as a
// number, of which fractions and exponents are legal. It is read exactly; a
// float would overflow or round.
func numericDate(v any) (time.Time, bool) {
	number, ok := v.(json.Number)
	if !ok || len(number) > maxDateText {
		return time.Time{}, false
	}
	text := string(number)
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0).UTC(), 0 <= seconds && seconds < afterDates
	}
	if at := strings.IndexAny(text, "eE"); at >= 0 && len(strings.TrimLeft(text[at+1:], "+-")) > maxDateExponent {
		return time.Time{}, false
	}
	exact, ok := new(big.Rat).SetString(text)
	if !ok || exact.Sign() < 0 || exact.Cmp(big.NewRat(afterDates, 1)) >= 0 {
		return time.Time{}, false
	}
	nanoseconds := new(big.Int).Mul(exact.Num(), big.NewInt(int64(time.Second)))
	nanoseconds.Quo(nanoseconds, exact.Denom())
	seconds, rest := nanoseconds.QuoRem(nanoseconds, big.NewInt(int64(time.Second)), new(big.Int))
	return time.Unix(seconds.Int64(), rest.Int64()).UTC(), true
}
