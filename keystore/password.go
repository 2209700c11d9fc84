package keystore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"keyward/authz"
)

// The cost of a password made here: OWASP's first choice for argon2id.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	saltLen      = 16
	argonLen     = 32
)

// What a hash in a file may cost at most, since whoever asks for a password to
// be checked need not know it.
const (
	maxArgonMemory  = 64 * 1024 // KiB
	maxArgonTime    = 10
	maxArgonThreads = 4
	maxBcryptCost   = 14

	// maxPassword is also what keeps bcrypt, which looks at 72 bytes, honest.
	maxPassword = 72
)

var errBadPassword = errors.New("a password is 1 to 72 bytes")

// HashPassword hashes a password with argon2id, as a PHC string.
func HashPassword(rand io.Reader, password authz.Secret) (string, error) {
	text := password.Reveal()
	if text == "" || len(text) > maxPassword {
		return "", fmt.Errorf("%w: %w", ErrInvalid, errBadPassword)
	}
	salt := make([]byte, saltLen)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return "", fmt.Errorf("drawing random bytes: %w", err)
	}
	sum := argon2.IDKey([]byte(text), salt, argonTime, argonMemory, argonThreads, argonLen)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		argonMemory, argonTime, argonThreads, b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// validPasswordHash tells whether hash is argon2id or bcrypt, at a cost that
// one is ready to pay for any stranger.
func validPasswordHash(hash string) bool {
	if strings.HasPrefix(hash, "$argon2id$") {
		return validArgon(hash)
	}
	return validBcrypt(hash)
}

func validBcrypt(hash string) bool {
	if len(hash) != 60 || !strings.HasPrefix(hash, "$2") || strings.IndexByte("aby", hash[2]) < 0 {
		return false
	}
	for i := 7; i < len(hash); i++ {
		if c := hash[i]; !isBase62(c) && c != '.' && c != '/' {
			return false
		}
	}
	cost, err := bcrypt.Cost([]byte(hash))
	return err == nil && hash[6] == '$' && cost <= maxBcryptCost
}

func validArgon(hash string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return false
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return false
	}
	for i, limit := range []struct {
		name string
		max  int
	}{{"m=", maxArgonMemory}, {"t=", maxArgonTime}, {"p=", maxArgonThreads}} {
		digits, ok := strings.CutPrefix(costs[i], limit.name)
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n < 1 || n > limit.max || strconv.Itoa(n) != digits {
			return false
		}
	}
	for i, least := range []int{8, 16} {
		raw, err := base64.RawStdEncoding.Strict().DecodeString(parts[4+i])
		if err != nil || len(raw) < least || len(raw) > 64 {
			return false
		}
	}
	return true
}
