package passwordhash

import (
	"strings"
	"testing"
)

// TestRefusedHashes checks that the error of each kind of hash names the kind,
// the reason and the remedy, and quotes nothing.
func TestRefusedHashes(t *testing.T) {
	argon := func(old, new string) string { return strings.Replace(argonOfPassword, old, new, 1) }
	const (
		fast    = "which can be guessed too fast: have the user set a new password (keyward user set NAME, or htpasswd -B)"
		foreign = "which Keyward does not compute: have the user set a new password (keyward user set NAME, or htpasswd -B)"
	)
	hex := func(n int) string { return strings.Repeat("0123456789abcdef", 8)[:n] }
	for hash, want := range map[string]string{
		"$apr1$GJA34/..$MalP.BfwrdYgWBv8HKlYJ/":                                "APR1-MD5 (htpasswd without -B), " + fast,
		"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=":                                    "SHA-1 without a salt behind {sha}, " + fast,
		"{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9gAAAA=":                               "SHA-1 behind {ssha}, " + fast,
		"{ssha}W6ph5Mm5Pz8GgiULbPgzG37mj9gAAAA=":                               "SHA-1 behind {ssha}, " + fast,
		"{SSHA512}W6ph5Mm5":                                                    "SHA-512 behind {ssha512}, " + fast,
		"{MD5}X03MO1qnZdYdgyfeuILPmQ==":                                        "MD5 without a salt behind {md5}, " + fast,
		"{PLAIN}swordfish":                                                     "plain text behind {plain}, which the file would reveal: have the user",
		"{CLEARTEXT}swordfish":                                                 "plain text behind {cleartext}, which the file would reveal",
		"{CRYPT}rqXexS6ZhobKA":                                                 "DES-crypt (htpasswd -d) behind {crypt}, " + fast,
		"{CRYPT}$6$rounds=5000$saltsalt$" + strings.Repeat("a", 86):            "SHA-512-crypt (htpasswd -5) behind {crypt}, " + foreign,
		"{CRYPT}swordfish!":                                                    "a hash behind {crypt}, " + foreign,
		"{CRYPT}$2y$" + bcryptOfUU:                                             "a valid hash behind {crypt}: remove {crypt}",
		"{BLF-CRYPT}$2y$" + bcryptOfUU:                                         "a valid hash behind {blf-crypt}: remove {blf-crypt}",
		"{bcrypt}$2a$" + bcryptOfUU:                                            "a valid hash behind {bcrypt}: remove {bcrypt}",
		"{ARGON2ID}" + argonOfPassword:                                         "a valid hash behind {argon2id}: remove {argon2id}",
		"bcrypt$$2b$" + bcryptOfUU:                                             "a valid hash behind bcrypt$: remove bcrypt$",
		"argon2" + argonOfPassword:                                             "a valid hash behind argon2: remove argon2",
		"{PBKDF2-SHA256}10000$salt$sum":                                        "PBKDF2 behind {pbkdf2-sha256}, " + foreign,
		"{NOSUCH}swordfish":                                                    "plain text, or a hash of an unknown kind: have the user",
		"rqXexS6ZhobKA":                                                        "DES-crypt (htpasswd -d), " + fast,
		"_J9..rasmBYk8r9AiWNc":                                                 "extended DES-crypt, " + fast,
		"$1$salt$qJH7.N4xYta3aEG/dfqo/0":                                       "MD5-crypt, " + fast,
		"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8":            "SHA-256-crypt (htpasswd -2), " + foreign,
		"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJu": "SHA-512-crypt (htpasswd -5), " + foreign,
		"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7":          "yescrypt, " + foreign,
		"$7$CU..../....2Q9obwLhin8qvQl6sisAO/$E1HizYWxBmnIH4sdPkd1UOML9t62Gf.wvNTnt5XFzs8":   "scrypt, " + foreign,
		"$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD": "scrypt, " + foreign,
		"scrypt:32768:8:1$salt$sum": "scrypt (Werkzeug), " + foreign,
		"pbkdf2_sha256$600000$salt$c3VtMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY=": "PBKDF2 (Django), " + foreign,
		"pbkdf2:sha256:600000$salt$sum":                                      "PBKDF2 (Werkzeug), " + foreign,
		"$pbkdf2-sha256$29000$salt$sum":                                      "PBKDF2, " + foreign,
		"bcrypt_sha256$$2b$" + bcryptOfUU:                                    "bcrypt of a SHA-256 sum (Django), " + foreign,
		"md5$salt$" + hex(32):                                                "MD5 (Django), " + fast,
		"$P$984478476IagS59wHZvyQMArzfx58u.":                                 "phpass (WordPress), " + fast,
		"$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc": "argon2i, " + foreign,
		"$argon2d$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc": "argon2d, " + foreign,
		argon("65536", "1048576"):      "argon2id with parameters out of bounds: m is from 8 times p to 65536 (KiB), t at most 10, p at most 4",
		argon("t=2", "t=11"):           "argon2id with parameters out of bounds",
		argon("p=1", "p=8"):            "argon2id with parameters out of bounds",
		argon("65536", "7"):            "argon2id with parameters out of bounds",
		argon("v=19", "v=16"):          "argon2id that is damaged, or of another version than 19",
		argonOfPassword[:40]:           "argon2id that is damaged",
		"$2$" + bcryptOfUU:             "the first version of bcrypt ($2$), " + foreign,
		"$2x$" + bcryptOfUU:            "bcrypt of a faulty implementation ($2x$), for which several passwords may fit: have the user",
		"$2b$15" + bcryptOfUU[2:]:      "bcrypt of a cost that is not from 4 to 14",
		"$2b$03" + bcryptOfUU[2:]:      "bcrypt of a cost that is not from 4 to 14",
		"$2b$31" + bcryptOfUU[2:]:      "bcrypt of a cost that is not from 4 to 14",
		"$2y$" + bcryptOfUU[:50]:       "bcrypt that is not complete: the hash has 60 characters",
		"$2y$" + bcryptOfUU[:55] + "!": "bcrypt that is damaged: have the user",
		hex(32):                        "MD5 without a salt, " + fast,
		hex(40):                        "SHA-1 without a salt, " + fast,
		strings.ToUpper(hex(64)):       "SHA-256 without a salt, " + fast,
		hex(128):                       "SHA-512 without a salt, " + fast,
		"*" + strings.ToUpper(hex(40)): "the MySQL hash of SHA-1, " + fast,
		"":                             "empty, so that no password fits: have the user",
		"!":                            "a locked account, so that no password fits",
		"swordfish":                    "plain text, or a hash of an unknown kind: have the user set a new password",
		"correct horse battery staple": "plain text, or a hash of an unknown kind",
	} {
		err := Check(hash)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v; want %s", hash, err, want)
			continue
		}
		for _, secret := range []string{"swordfish", "horse", "MalP", "W6ph", "rqXex", "saltstring", bcryptOfUU[3:20], "c29tZX", hex(20), "984478"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error quotes the hash: %v", err)
			}
		}
	}
	for _, hash := range []string{argonOfPassword, "$2a$" + bcryptOfUU, "$2b$" + bcryptOfUU, "$2y$" + bcryptOfUU} {
		if err := Check(hash); err != nil {
			t.Errorf("%s: %v", hash, err)
		}
	}
}

// FuzzCheck checks that Check accepts what Valid does, and quotes no run of the
// hash that is longer than the name of a kind.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"", "$2y$" + bcryptOfUU, argonOfPassword, "{CRYPT}$1$salt$sum", "bcrypt$$2b$", "$argon2id$$$$$", "{}", "$2", "argon2$argon2id$v=19$m=1,t=1,p=1$$"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, hash string) {
		err := Check(hash)
		if (err == nil) != Valid(hash) {
			t.Fatalf("%q: %v, and Valid reports %t", hash, err, Valid(hash))
		}
		if secret := strings.ToLower(hash[len(hash)/2:]); err != nil && len(secret) >= 16 && strings.Contains(strings.ToLower(err.Error()), secret) {
			t.Fatalf("%q: the error quotes it: %v", hash, err)
		}
	})
}
