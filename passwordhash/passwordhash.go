// Package passwordhash hashes passwords with argon2id, and verifies passwords
// against stored hashes of argon2id and bcrypt.
//
// It refuses a stored hash that costs more than an attempt may cost, and a
// password longer than bcrypt reads. The number of attempts is bounded by
// package password.
package passwordhash

import (
	"crypto/subtle"
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

// The cost of a hash made here: OWASP's first choice for argon2id.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	saltLen      = 16
	argonLen     = 32
)

// Maximum cost of a stored hash. It is bounded because a client can have a
// password verified without knowing it.
const (
	maxArgonMemory  = 64 * 1024 // KiB
	maxArgonTime    = 10
	maxArgonThreads = 4
	MaxBcryptCost   = 14

	// MaxPassword is the maximum length of a password in bytes, which is also
	// how many bcrypt reads.
	MaxPassword = 72
)

var (
	// ErrPassword means a password that [ValidPassword] refuses.
	ErrPassword = errors.New("a password is 1 to 72 bytes")
	errHash     = errors.New("a stored password hash that cannot be verified")
)

// Hash returns the argon2id hash of a password, as a PHC string, with a salt
// from rand.
func Hash(rand io.Reader, password authz.Secret) (string, error) {
	text := password.Reveal()
	if !ValidPassword(password) {
		return "", ErrPassword
	}
	salt := make([]byte, saltLen)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return "", fmt.Errorf("drawing random bytes: %w", err)
	}
	return phc(salt, argon2.IDKey([]byte(text), salt, argonTime, argonMemory, argonThreads, argonLen)), nil
}

// DummyHash returns a hash of no known password, with the cost of one that Hash
// makes. Passwords of unknown users are verified against it, so that timing
// does not distinguish them from known users.
func DummyHash(rand io.Reader) (authz.Secret, error) {
	var random [saltLen + argonLen]byte
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return authz.Secret{}, fmt.Errorf("drawing random bytes: %w", err)
	}
	return authz.NewSecret(phc(random[:saltLen], random[saltLen:])), nil
}

func phc(salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("%sv=%d$m=%d,t=%d,p=%d$%s$%s", argonPrefix, argon2.Version,
		argonMemory, argonTime, argonThreads, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// Verify reports whether the stored hash is of the password. It computes
// nothing for a password that ValidPassword refuses. A hash that is not valid
// or costs too much is an error, and is not computed either.
func Verify(hash, password authz.Secret) (bool, error) {
	text := password.Reveal()
	if !ValidPassword(password) {
		return false, nil
	}
	if !strings.HasPrefix(hash.Reveal(), argonPrefix) {
		if !ValidBcrypt(hash.Reveal()) {
			return false, errHash
		}
		err := bcrypt.CompareHashAndPassword([]byte(hash.Reveal()), []byte(text))
		if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			return false, nil
		}
		return err == nil, err
	}
	a, ok := parseArgon(hash.Reveal())
	if !ok {
		return false, errHash
	}
	sum := argon2.IDKey([]byte(text), a.salt, a.time, a.memory, a.threads, uint32(len(a.sum)))
	return subtle.ConstantTimeCompare(sum, a.sum) == 1, nil
}

// ValidPassword reports whether a user may have the password: it is not empty,
// and bcrypt reads all of it.
func ValidPassword(password authz.Secret) bool {
	return !password.Empty() && len(password.Reveal()) <= MaxPassword
}

// Valid reports whether hash is argon2id or bcrypt, at a cost that an attempt
// may have.
func Valid(hash string) bool {
	if strings.HasPrefix(hash, argonPrefix) {
		_, ok := parseArgon(hash)
		return ok
	}
	return ValidBcrypt(hash)
}

// ValidBcrypt reports whether hash is bcrypt: $2a$, $2b$ or $2y$, two digits,
// 22 characters of salt and 31 of the sum, with a cost of at most
// MaxBcryptCost.
func ValidBcrypt(hash string) bool {
	if len(hash) != 60 || !strings.HasPrefix(hash, "$2") || strings.IndexByte("aby", hash[2]) < 0 || hash[3] != '$' || hash[6] != '$' {
		return false
	}
	for i := 7; i < len(hash); i++ {
		if c := hash[i]; (c < '.' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') { // '.', '/' and the digits are one range
			return false
		}
	}
	tens, ones := hash[4]-'0', hash[5]-'0'
	cost := int(tens)*10 + int(ones)
	return tens <= 9 && ones <= 9 && cost >= bcrypt.MinCost && cost <= MaxBcryptCost
}

// argon is a parsed PHC string of argon2id.
type argon struct {
	memory, time uint32 // memory in KiB
	threads      uint8
	salt, sum    []byte
}

const argonPrefix = "$argon2id$"

// parseArgon parses $argon2id$v=19$m=…,t=…,p=…$salt$sum.
func parseArgon(hash string) (argon, bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return argon{}, false
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return argon{}, false
	}
	memory, okMemory := cost(costs[0], "m=", maxArgonMemory)
	time, okTime := cost(costs[1], "t=", maxArgonTime)
	threads, okThreads := cost(costs[2], "p=", maxArgonThreads)
	salt, okSalt := decoded(parts[4], 8)
	sum, okSum := decoded(parts[5], 16)
	if !okMemory || !okTime || !okThreads || !okSalt || !okSum || memory < 8*threads { // RFC 9106 section 3.1
		return argon{}, false
	}
	return argon{memory, time, uint8(threads), salt, sum}, true
}

// cost parses a decimal number from 1 to limit in canonical form, after the
// name.
func cost(text, name string, limit uint64) (uint32, bool) {
	digits, found := strings.CutPrefix(text, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), found && err == nil && n >= 1 && n <= limit && strconv.FormatUint(n, 10) == digits
}

// decoded decodes base64 of minLen to 64 bytes.
func decoded(text string, minLen int) ([]byte, bool) {
	raw, err := base64.RawStdEncoding.Strict().DecodeString(text)
	return raw, err == nil && len(raw) >= minLen && len(raw) <= 64 && !strings.ContainsAny(text, "\r\n")
}
