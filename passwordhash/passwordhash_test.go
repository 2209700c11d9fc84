package passwordhash

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"keyward/authz"
)

const (
	// From the test suites of argon2's reference implementation and of
	// crypt_blowfish.
	argonOfPassword = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	bcryptOfUU      = "05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
)

func TestVerifyPassword(t *testing.T) {
	made, err := Hash(rand.Reader, authz.NewSecret("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("é", 36)
	longest, err := Hash(rand.Reader, authz.NewSecret(long))
	if err != nil {
		t.Fatal(err)
	}
	longBcrypt, err := bcrypt.GenerateFromPassword([]byte(long), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ hash, right string }{
		{made, "correct horse"}, {argonOfPassword, "password"}, {longest, long}, {string(longBcrypt), long},
		{"$2a$" + bcryptOfUU, "U*U"}, {"$2b$" + bcryptOfUU, "U*U"}, {"$2y$" + bcryptOfUU, "U*U"},
	} {
		if ok, err := Verify(authz.NewSecret(test.hash), authz.NewSecret(test.right)); !ok || err != nil {
			t.Errorf("%s of %q: %t, %v", test.hash, test.right, ok, err)
		}
		for _, wrong := range []string{"", "x", test.right + "x", test.right[1:], strings.ToUpper(test.right + "q"), test.right + "\x00"} {
			if ok, err := Verify(authz.NewSecret(test.hash), authz.NewSecret(wrong)); ok || err != nil {
				t.Errorf("%s of %q: %t, %v", test.hash, wrong, ok, err)
			}
		}
	}
}

func TestVerifyComputesOnlyWhatIsValid(t *testing.T) {
	for _, bad := range []string{"", "secret", "$argon2id$", argonOfPassword + "$", strings.Replace(argonOfPassword, "t=2", "t=4294967295", 1), "$2b$31$" + bcryptOfUU[3:]} {
		if ok, err := Verify(authz.NewSecret(bad), authz.NewSecret("password")); ok || err == nil || strings.Contains(err.Error(), "$") {
			t.Errorf("%s: %t, %v", bad, ok, err)
		}
	}
}

func TestStoredHashes(t *testing.T) {
	argon := func(old, new string) string { return strings.Replace(argonOfPassword, old, new, 1) }
	for hash, valid := range map[string]bool{
		argonOfPassword:                           true,
		argon("65536", "8"):                       true,
		argon("p=1", "p=4"):                       true,
		argon("65536", "7"):                       false, // less than eight blocks per lane
		argon("65536,t=2,p=1", "31,t=2,p=4"):      false,
		argon("65536", "65537"):                   false,
		argon("65536", "065536"):                  false,
		argon("65536", "-8"):                      false,
		argon("t=2", "t=4294967298"):              false,
		argon("t=2", "t=0"):                       false,
		argon("t=2", "t="):                        false,
		argon("p=1", "p=5"):                       false,
		argon("p=1", "p=257"):                     false,
		argon("m=65536,t=2", "t=2,m=65536"):       false,
		argon("p=1", "p=1,data=x"):                false,
		argon("$v=19", ""):                        false,
		argon("c29tZXNhbHQ", "c29tZXNhbHR"):       false, // trailing bits that are not part of a byte
		argon("c29tZXNhbHQ", "c29tZXNhbHQ=="):     false,
		argon("c29tZXNhbHQ", "c29t\nZXNhbHQ"):     false,
		argon("c29tZXNhbHQ", "c29tZXNh"):          false, // six bytes of salt
		argonOfPassword + strings.Repeat("A", 43): true,  // 64 bytes of hash
		argonOfPassword + strings.Repeat("A", 44): false, // 65
		"$2b$0:" + bcryptOfUU[2:]:                 false,
		"$2b$05$" + strings.Repeat("a", 30) + "!" + strings.Repeat("a", 22): false,
		"$2b$05$" + strings.Repeat("a", 51) + "\xff\xfe":                    false,
		"x" + argonOfPassword:           false,
		"$2a$" + bcryptOfUU:             true,
		"$2$" + bcryptOfUU:              false,
		"$2x$" + bcryptOfUU:             false,
		"$2b$04" + bcryptOfUU[2:]:       true,
		"$2b$03" + bcryptOfUU[2:]:       false,
		"$2b$14" + bcryptOfUU[2:]:       true,
		"$2b$15" + bcryptOfUU[2:]:       false,
		"$2b$+5" + bcryptOfUU[2:]:       false,
		"$2b$5$" + bcryptOfUU[2:]:       false,
		"$2b$05x" + bcryptOfUU[3:]:      false,
		"$2b$" + bcryptOfUU[:52] + "\n": false,
		"$3b$" + bcryptOfUU:             false,
	} {
		if Valid(hash) != valid {
			t.Errorf("%q: valid must be %t", hash, valid)
		}
	}
}

func TestPasswordHashes(t *testing.T) {
	hash, err := Hash(rand.Reader, authz.NewSecret("correct horse"))
	if err != nil || !Valid(hash) {
		t.Fatal(hash, err)
	}
	parts := strings.Split(hash, "$")
	salt, sum := make([]byte, 16), make([]byte, 32)
	if n, err := base64.RawStdEncoding.Decode(salt, []byte(parts[4])); err != nil || n != 16 {
		t.Fatal(n, err)
	}
	if n, err := base64.RawStdEncoding.Decode(sum, []byte(parts[5])); err != nil || n != 32 {
		t.Fatal(n, err)
	}
	if got := argon2.IDKey([]byte("correct horse"), salt, 2, 19*1024, 1, 32); string(got) != string(sum) {
		t.Error("not the hash of the password")
	}
	for _, password := range []string{"", strings.Repeat("x", 73)} {
		if _, err := Hash(rand.Reader, authz.NewSecret(password)); !errors.Is(err, ErrPassword) {
			t.Errorf("%d bytes: %v", len(password), err)
		}
	}
	for name, bad := range map[string]string{
		"plain":         "secret",
		"argon2i":       strings.Replace(hash, "argon2id", "argon2i", 1),
		"old version":   strings.Replace(hash, "v=19", "v=16", 1),
		"much memory":   strings.Replace(hash, "m=19456", "m=65537", 1),
		"no memory":     strings.Replace(hash, "m=19456", "m=0", 1),
		"much time":     strings.Replace(hash, "t=2", "t=11", 1),
		"plus sign":     strings.Replace(hash, "t=2", "t=+2", 1),
		"many threads":  strings.Replace(hash, "p=1", "p=5", 1),
		"no salt":       strings.Replace(hash, parts[4], "", 1),
		"no hash":       strings.Replace(hash, parts[5], "", 1),
		"more":          hash + "$x",
		"bcrypt cost":   "$2b$15$" + strings.Repeat("a", 53),
		"bcrypt length": "$2b$10$" + strings.Repeat("a", 52),
		"bcrypt kind":   "$2x$10$" + strings.Repeat("a", 53),
	} {
		if Valid(bad) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDummyHash(t *testing.T) {
	dummy, err := DummyHash(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made, err := Hash(rand.Reader, authz.NewSecret("x"))
	if err != nil {
		t.Fatal(err)
	}
	cost := func(hash string) string {
		return hash[:strings.LastIndexByte(hash[:strings.LastIndexByte(hash, '$')], '$')]
	}
	if cost(dummy.Reveal()) != cost(made) || len(dummy.Reveal()) != len(made) {
		t.Errorf("the dummy hash costs %s, a hash of Hash %s", cost(dummy.Reveal()), cost(made))
	}
	if ok, err := Verify(dummy, authz.NewSecret("x")); ok || err != nil {
		t.Error(ok, err)
	}
	if another, err := DummyHash(rand.Reader); err != nil || another == dummy {
		t.Error("two dummy hashes are equal:", err)
	}
	if _, err := DummyHash(strings.NewReader("short")); err == nil {
		t.Error("DummyHash succeeded without random bytes")
	}
}

// FuzzPasswordHash: a hash that is valid when loaded is verified without an
// error or a panic and within the maximum cost. An invalid hash is never
// computed.
func FuzzPasswordHash(f *testing.F) {
	for _, seed := range []string{
		argonOfPassword, strings.Replace(argonOfPassword, "65536", "32", 1), strings.Replace(argonOfPassword, "m=65536,t=2,p=1", "m=32,t=1,p=4", 1),
		"$2a$04" + bcryptOfUU[2:], "$2b$" + bcryptOfUU, "$2y$14" + bcryptOfUU[2:], "$argon2id$v=19$m=8,t=10,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "$2b$+4" + bcryptOfUU[2:],
	} {
		f.Add(seed, "password")
	}
	f.Fuzz(func(t *testing.T, hash, password string) {
		valid := Valid(hash)
		if valid && tooSlowToFuzz(t, hash) {
			return
		}
		ok, err := Verify(authz.NewSecret(hash), authz.NewSecret(password))
		possible := password != "" && len(password) <= MaxPassword
		if ok && !possible || (err == nil) != (valid || !possible) {
			t.Fatalf("%q of %q: valid %t, right %t, %v", hash, password, valid, ok, err)
		}
	})
}

// tooSlowToFuzz reports whether a valid hash is too slow to fuzz. It fails the
// test if the hash exceeds the maximum cost.
func tooSlowToFuzz(t *testing.T, hash string) bool {
	if a, ok := parseArgon(hash); ok {
		if a.memory > maxArgonMemory || a.time > maxArgonTime || a.threads > maxArgonThreads || a.time < 1 || a.threads < 1 || len(a.sum) > 64 || len(a.salt) > 64 {
			t.Fatalf("%q costs too much", hash)
		}
		return a.memory*a.time > 1024
	}
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil || cost > MaxBcryptCost {
		t.Fatalf("%q costs %d, %v", hash, cost, err)
	}
	return cost > 5
}
