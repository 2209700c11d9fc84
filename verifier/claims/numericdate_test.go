package claims_test

import (
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"keyward/verifier/claims"
	"keyward/verifier/strictjson"
)

// FuzzNumericDate compares the result with exact arithmetic.
func FuzzNumericDate(f *testing.F) {
	for _, text := range []string{
		"0", "-0", "-0.0", "-1e-99", "1.5", "1e9", "1E+9", "253402300799.9999999999", "253402300800", "2534023007.999e2", "2534023008e2",
		"0.0000000001", "9e-10", "0e99", "1e99", "1e100", "1e005", "17000000000000000000e-10", "0.17e10",
	} {
		f.Add(text)
	}
	end := big.NewRat(253402300800, 1)
	f.Fuzz(func(t *testing.T, text string) {
		object, err := strictjson.Object([]byte(`{"exp":`+text+`}`), strictjson.Limits{Depth: 1, Members: 1})
		number, isNumber := object["exp"].(json.Number)
		if err != nil || !isNumber {
			t.Skip()
		}
		date, ok := claims.ParseNumericDate(number)
		if !ok {
			t.Skip() // out of range, or above the limits: see TestNumericDate
		}
		exact, readable := new(big.Rat).SetString(string(number))
		inRange := readable && exact.Sign() >= 0 && exact.Cmp(end) < 0
		read := new(big.Rat).Add(new(big.Rat).SetInt64(date.Unix()), big.NewRat(int64(date.Nanosecond()), int64(time.Second)))
		rest := exact.Sub(exact, read)
		if !inRange || rest.Sign() < 0 || rest.Cmp(big.NewRat(1, int64(time.Second))) >= 0 {
			t.Fatalf("%s is read as %s", number, date)
		}
	})
}

func TestNumericDate(t *testing.T) {
	for text, want := range map[string]time.Time{
		"0": time.Unix(0, 0), "-0": time.Unix(0, 0), "-0.0": time.Unix(0, 0), "1.5": time.Unix(1, 5e8), "1e9": time.Unix(1e9, 0), "1E+9": time.Unix(1e9, 0),
		"253402300799.9999999999": time.Unix(253402300799, 999999999), "9e-10": time.Unix(0, 0), "0e99": time.Unix(0, 0),
		"17000000000000000000e-10": time.Unix(1_700_000_000, 0), "0.17e10": time.Unix(1_700_000_000, 0), "1700000000.001": time.Unix(1_700_000_000, 1e6),
	} {
		if got, ok := claims.ParseNumericDate(json.Number(text)); !ok || !got.Equal(want) {
			t.Errorf("%s is %s, %t, want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"-1", "-1e-99", "253402300800", "2534023008e2", "1e99", "1e100", "0e005", "9223372036854775808"} {
		if got, ok := claims.ParseNumericDate(json.Number(text)); ok {
			t.Errorf("%s is %s", text, got)
		}
	}
	for _, other := range []any{nil, "1", true, 1.5} {
		if _, ok := claims.ParseNumericDate(other); ok {
			t.Errorf("%v is a date", other)
		}
	}
}
