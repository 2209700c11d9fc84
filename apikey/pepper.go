package apikey

import (
	"bytes"
	"fmt"
	"os"

	"keyward/authz"
)

const (
	minPepper   = 16
	pepperLabel = "keyward pepper id"
	pepperIDLen = 8
)

// ValidPepperID reports whether the text has the form of a [Hasher.PepperID]
// under a pepper.
func ValidPepperID(text []byte) bool {
	for _, c := range text {
		if hexDigits[c] > 15 {
			return false
		}
	}
	return len(text) == pepperIDLen
}

// ReadPepper reads a pepper: the bytes of the file, at least 16, without one
// trailing newline. The error names the file and does not quote it.
func ReadPepper(file string) (authz.Secret, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return authz.Secret{}, fmt.Errorf("reading pepper: %w", err)
	}
	text, _ = bytes.CutSuffix(text, []byte("\n"))
	if len(text) < minPepper {
		return authz.Secret{}, fmt.Errorf("pepper file %q: a pepper has at least %d bytes", file, minPepper)
	}
	return authz.NewSecret(string(text)), nil
}
