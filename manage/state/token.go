package state

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"keyward/apikey"
	"keyward/authz"
)

// tokenBytes is the number of random bytes in the text of a cookie or a code.
const tokenBytes = 32

var tokenEncoding = base64.RawURLEncoding.Strict()

// newToken returns the text of a new cookie or code, and its hash.
func newToken(rand io.Reader) (authz.Secret, []byte, error) {
	var drawn [tokenBytes]byte
	if _, err := io.ReadFull(rand, drawn[:]); err != nil {
		return authz.Secret{}, nil, fmt.Errorf("drawing random bytes: %w", err)
	}
	token := authz.NewSecret(apikey.TokenPrefix + tokenEncoding.EncodeToString(drawn[:]))
	hash, _ := hashToken(token)
	return token, hash, nil
}

// hashToken returns the hash under which a token is stored. ok is false if the
// text cannot be a token, so that junk causes no query.
func hashToken(token authz.Secret) (hash []byte, ok bool) {
	text := token.Reveal()
	drawn, ok := strings.CutPrefix(text, apikey.TokenPrefix)
	if !ok || len(drawn) != tokenEncoding.EncodedLen(tokenBytes) {
		return nil, false
	}
	sum := sha256.Sum256([]byte(text))
	return sum[:], true
}

// randomNumber returns a positive number that is not drawn twice.
func randomNumber(rand io.Reader) (int64, error) {
	var drawn [8]byte
	if _, err := io.ReadFull(rand, drawn[:]); err != nil {
		return 0, fmt.Errorf("drawing random bytes: %w", err)
	}
	return int64(binary.LittleEndian.Uint64(drawn[:])&math.MaxInt64 | 1), nil
}
