package apikey

import (
	"fmt"
	"io"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// randomText returns n random characters of the alphabet, each with the same
// probability. It discards bytes beyond the last multiple of the alphabet's
// length.
func randomText(rand io.Reader, alphabet string, n int) (string, error) {
	limit := 256 - 256%len(alphabet)
	text := make([]byte, 0, n)
	var drawn [64]byte
	for len(text) < n {
		if _, err := io.ReadFull(rand, drawn[:]); err != nil {
			return "", fmt.Errorf("drawing random bytes: %w", err)
		}
		for _, b := range drawn {
			if int(b) < limit && len(text) < n {
				text = append(text, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(text), nil
}

// inBase62 reports whether c is a base62 digit.
func inBase62(c byte) bool { return valueBase62[c] < noBase62 }

// valueBase62 has the value of each digit, and noBase62, a bit that no value
// has, for every other byte.
var valueBase62 = func() (table [256]byte) {
	for i := range table {
		table[i] = noBase62
	}
	for value, c := range []byte(base62) {
		table[c] = byte(value)
	}
	return table
}()

const noBase62 = 1 << 6
