package passwordhash

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"keyward/chars"
)

// Why a hash of another kind is not accepted, and what to do. Other hashes are
// not computed here: most can be guessed by the billion per second, and the
// others would each need a bound of its own.
const (
	tooFast  = "which can be guessed too fast"
	revealed = "which the file would reveal"
	unknown  = "which Keyward does not compute"
	setNew   = `have the user set a new password (keyward user set NAME, or htpasswd -B)`
)

// Check returns nil if [Valid] reports true. Otherwise the error says which
// kind of hash it is, why it is not accepted, and what to do. It quotes nothing
// of the hash.
func Check(hash string) error {
	if Valid(hash) {
		return nil
	}
	if inner, wrapper := unwrap(hash); wrapper != "" && Valid(inner) {
		return fmt.Errorf("a valid hash behind %s: remove %s", wrapper, wrapper)
	}
	if strings.HasPrefix(hash, argonPrefix) {
		return argonFault(hash)
	}
	if strings.HasPrefix(hash, "$2") {
		return bcryptFault(hash)
	}
	if kind, why := kindOf(hash); kind != "" {
		return fmt.Errorf("%s, %s: %s", kind, why, setNew)
	}
	return errors.New("plain text, or a hash of an unknown kind: " + setNew)
}

// unwrap returns the hash behind what other programs put in front of it, and
// how that is called.
func unwrap(hash string) (inner, wrapper string) {
	for _, prefix := range [...]string{"bcrypt$", "argon2"} { // Django
		if inner, found := strings.CutPrefix(hash, prefix); found && strings.HasPrefix(inner, "$") {
			return inner, prefix
		}
	}
	scheme, inner := braced(hash)
	switch scheme { // LDAP, Dovecot, Spring
	case "{crypt}", "{blf-crypt}", "{bcrypt}", "{argon2id}", "{argon2}":
		return inner, scheme
	}
	return hash, ""
}

// braced returns the name in braces with which a hash begins (RFC 2307), in
// lower case, and what follows it. The name is "" if there is none.
func braced(hash string) (scheme, inner string) {
	end := strings.IndexByte(hash, '}')
	if end < 0 || hash[0] != '{' {
		return "", hash
	}
	return chars.LowerASCII(hash[:end+1]), hash[end+1:]
}

// refusedKinds are the kinds of hashes, by what they begin with.
var refusedKinds = [...]struct{ prefix, kind, why string }{
	{"$apr1$", "APR1-MD5 (htpasswd without -B)", tooFast},
	{"$1$", "MD5-crypt", tooFast},
	{"$md5", "Sun MD5", tooFast},
	{"$3$", "an NT hash", tooFast},
	{"$5$", "SHA-256-crypt (htpasswd -2)", unknown},
	{"$6$", "SHA-512-crypt (htpasswd -5)", unknown},
	{"$sha1$", "SHA-1-crypt", unknown},
	{"$y$", "yescrypt", unknown},
	{"$gy$", "gost-yescrypt", unknown},
	{"$7$", "scrypt", unknown},
	{"$scrypt$", "scrypt", unknown},
	{"scrypt$", "scrypt (Django)", unknown},
	{"scrypt:", "scrypt (Werkzeug)", unknown},
	{"$pbkdf2", "PBKDF2", unknown},
	{"pbkdf2_", "PBKDF2 (Django)", unknown},
	{"pbkdf2:", "PBKDF2 (Werkzeug)", unknown},
	{"bcrypt_sha256$", "bcrypt of a SHA-256 sum (Django)", unknown},
	{"$bcrypt-sha256$", "bcrypt of a SHA-256 sum", unknown},
	{"$argon2i$", "argon2i", unknown},
	{"$argon2d$", "argon2d", unknown},
	{"argon2$", "argon2 (Django)", unknown},
	{"$P$", "phpass (WordPress)", tooFast},
	{"$H$", "phpass (phpBB)", tooFast},
	{"$wp$", "bcrypt of an HMAC (WordPress)", unknown},
	{"$S$", "SHA-512 (Drupal)", unknown},
	{"md5$", "MD5 (Django)", tooFast},
	{"sha1$", "SHA-1 (Django)", tooFast},
}

// bracedKinds are the kinds that begin with a name in braces.
var bracedKinds = map[string][2]string{
	"{sha}": {"SHA-1 without a salt", tooFast}, "{ssha}": {"SHA-1", tooFast},
	"{sha256}": {"SHA-256 without a salt", tooFast}, "{ssha256}": {"SHA-256", tooFast},
	"{sha512}": {"SHA-512 without a salt", tooFast}, "{ssha512}": {"SHA-512", tooFast},
	"{md5}": {"MD5 without a salt", tooFast}, "{smd5}": {"MD5", tooFast},
	"{plain}": {"plain text", revealed}, "{cleartext}": {"plain text", revealed}, "{noop}": {"plain text", revealed},
	"{scrypt}": {"scrypt", unknown}, "{pbkdf2}": {"PBKDF2", unknown}, "{pbkdf2-sha256}": {"PBKDF2", unknown}, "{pbkdf2-sha512}": {"PBKDF2", unknown},
}

// kindOf returns the kind of a hash that is not accepted, and why; "" if its
// form does not show it.
func kindOf(hash string) (kind, why string) {
	for i := range refusedKinds {
		if k := &refusedKinds[i]; strings.HasPrefix(hash, k.prefix) {
			return k.kind, k.why
		}
	}
	scheme, _ := braced(hash)
	if k, known := bracedKinds[scheme]; known {
		return k[0] + " behind " + scheme, k[1]
	}
	if inner, wrapper := unwrap(hash); wrapper != "" {
		if kind, why := kindOf(inner); kind != "" {
			return kind + " behind " + wrapper, why
		}
		return "a hash behind " + wrapper, unknown
	}
	return kindByLength(hash)
}

// kindByLength returns the kind of a hash that consists of one text.
func kindByLength(hash string) (kind, why string) {
	switch only := func(characters string) bool { return strings.Trim(hash, characters) == "" }; {
	case hash == "":
		return "empty", "so that no password fits"
	case only("!*x"):
		return "a locked account", "so that no password fits"
	case strings.HasPrefix(hash, "*") && len(hash) == 41 && only("*"+hexDigits):
		return "the MySQL hash of SHA-1", tooFast
	case only(hexDigits) && len(hash) == 32:
		return "MD5 without a salt", tooFast
	case only(hexDigits) && len(hash) == 40:
		return "SHA-1 without a salt", tooFast
	case only(hexDigits) && len(hash) == 64:
		return "SHA-256 without a salt", tooFast
	case only(hexDigits) && len(hash) == 128:
		return "SHA-512 without a salt", tooFast
	case only(cryptDigits) && len(hash) == 13:
		return "DES-crypt (htpasswd -d)", tooFast
	case only("_"+cryptDigits) && len(hash) == 20 && hash[0] == '_':
		return "extended DES-crypt", tooFast
	default:
		return "", ""
	}
}

const (
	hexDigits   = "0123456789abcdefABCDEF"
	cryptDigits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// bcryptFault returns why a text that begins as bcrypt is not accepted.
func bcryptFault(hash string) error {
	switch {
	case strings.HasPrefix(hash, "$2$"):
		return fmt.Errorf("the first version of bcrypt ($2$), %s: %s", unknown, setNew)
	case strings.HasPrefix(hash, "$2x$"):
		return fmt.Errorf("bcrypt of a faulty implementation ($2x$), for which several passwords may fit: %s", setNew)
	case len(hash) != 60:
		return errors.New("bcrypt that is not complete: the hash has 60 characters (a shell replaces $2 in double quotes)")
	case hash[3] == '$' && hash[6] == '$' && ValidBcrypt(hash[:4]+"10"+hash[6:]):
		return fmt.Errorf("bcrypt of a cost that is not from %d to %d, which logins could not wait for, or which is too fast: %s", bcrypt.MinCost, MaxBcryptCost, setNew)
	default:
		return fmt.Errorf("bcrypt that is damaged: %s", setNew)
	}
}

// argonFault returns why a text that begins as argon2id is not accepted.
func argonFault(hash string) error {
	parts := strings.Split(hash, "$")
	if len(parts) == 6 {
		given := parts[3]
		parts[3] = fmt.Sprintf("m=%d,t=%d,p=%d", argonMemory, argonTime, argonThreads)
		if _, ok := parseArgon(strings.Join(parts, "$")); ok && strings.Trim(given, "mtp=,0123456789") == "" {
			return fmt.Errorf("argon2id with parameters out of bounds: m is from 8 times p to %d (KiB), t at most %d, p at most %d, in this order: %s",
				maxArgonMemory, maxArgonTime, maxArgonThreads, setNew)
		}
	}
	return fmt.Errorf("argon2id that is damaged, or of another version than 19 ($argon2id$v=19$m=…,t=…,p=…$salt$sum): %s", setNew)
}
