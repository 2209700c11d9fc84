package tokensource

import (
	"testing"

	"keyward/verifier/jwks"
)

// TestPanicIsAFailedRead: a document that makes a reader panic is one that
// cannot be read, and nothing more.
func TestPanicIsAFailedRead(t *testing.T) {
	keys, err := guarded(func() (*jwks.Set, error) {
		var a, b any = []any{}, []any{}
		if a == b { // cannot be compared
			return new(jwks.Set), nil
		}
		return nil, nil
	})
	if keys != nil || err == nil {
		t.Errorf("keys %v, error %v", keys, err)
	}
}
