package importer

import (
	"errors"
	"strings"
	"testing"

	"keyward/passwordhash"
	"keyward/store"
)

const (
	bcryptHash = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	argonHash  = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
)

// TestHtpasswdFiles: files as people have them.
func TestHtpasswdFiles(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nginx's, with comments", "# the shop\nalice:" + bcryptHash + ":of the shop\nbob:" + bcryptHash + ":a: b, c\n", "2 alice, 3 bob"},
		{"an empty comment", "alice:" + bcryptHash + ":\n", "1 alice"},
		{"a comment that looks as a hash", "alice:" + bcryptHash + ":0123456789abcdef0123456789abcdef\n", "1 alice"},
		{"a space before the comment", "alice:" + bcryptHash + " : of the shop\n", "1 alice"},
		{"comments and blank lines", "\n  \n\t\n#\n # alice:x\n\t# bob:x\nalice:" + bcryptHash + "\n\n", "7 alice"},
		{"Windows", "\ufeff# users\r\nalice:" + bcryptHash + "\r\n\r\nbob:" + bcryptHash + ":shop\r\n", "2 alice, 4 bob"},
		{"white space at the end", "alice:" + bcryptHash + "  \t\nbob:" + bcryptHash + " \r\n", "1 alice, 2 bob"},
		{"no line break at the end", "alice:" + bcryptHash, "1 alice"},
		{"argon2id", "alice:" + argonHash + ":shop\n", "1 alice"},
		{"a name with a space inside", "alice b:" + bcryptHash + "\n", "1 alice b"},
		{"nothing", "", ""},
	} {
		users, err := ReadHtpasswd(strings.NewReader(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var got []string
		for _, u := range users {
			got = append(got, string(rune('0'+u.Line))+" "+u.Name)
			if u.Password != bcryptHash && u.Password != argonHash {
				t.Errorf("%s: the hash of %s is %q", c.name, u.Name, u.Password)
			}
		}
		if all := strings.Join(got, ", "); all != c.want {
			t.Errorf("%s: %s, want %s", c.name, all, c.want)
		}
	}
}

// TestHtpasswdRefused: the error names each line, the kind of hash and what to
// do, and quotes nothing.
func TestHtpasswdRefused(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"alice:$apr1$GJA34/..$MalP.BfwrdYgWBv8HKlYJ/\n", "input line 1: invalid: APR1-MD5 (htpasswd without -B), which can be guessed too fast: have the user set a new password (keyward user set NAME, or htpasswd -B)"},
		{"alice:$apr1$GJA34/..$MalP.BfwrdYgWBv8HKlYJ/:shop\n", "input line 1: invalid: APR1-MD5"},
		{"#\nalice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", "input line 2: invalid: SHA-1 without a salt behind {sha}"},
		{"alice:{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9gAAAA=:shop\n", "input line 1: invalid: SHA-1 behind {ssha}"},
		{"alice:rqXexS6ZhobKA:shop\n", "input line 1: invalid: DES-crypt (htpasswd -d)"},
		{"alice:{PLAIN}swordfish\n", "input line 1: invalid: plain text behind {plain}"},
		{"alice:swordfish:shop\n", "input line 1: invalid: plain text, or a hash of an unknown kind"},
		{"alice:pbkdf2:sha256:600000$salt$sum\n", "input line 1: invalid: PBKDF2 (Werkzeug)"},
		{"alice:$6$saltstring$svn8UoSVap:17000:0:99999:7:::\n", "input line 1: invalid: SHA-512-crypt (htpasswd -5)"},
		{"alice:!:17000:0:99999:7:::\n", "input line 1: invalid: a locked account"},
		{"alice:\n", "input line 1: invalid: empty, so that no password fits"},
		{"alice:shop:0123456789abcdef0123456789abcdef\n", "input line 1: invalid: of an htdigest file (NAME:REALM:HASH)"},
		{"alice:" + bcryptHash[:50] + "\n", "input line 1: invalid: bcrypt that is not complete"},
		{"alice\n", "input line 1: invalid: not NAME:HASH"},
		{":" + bcryptHash + "\n", "input line 1: invalid: not NAME:HASH"},
		{"alice:" + bcryptHash + "\nalice:" + bcryptHash + ":again\n", "input line 2: this user: there already"},
		{"alice:" + bcryptHash + "\nbob:$1$salt$sum\ncarol:swordfish\n", "input line 2: invalid: MD5-crypt, which can be guessed too fast: have the user set a new password (keyward user set NAME, or htpasswd -B)\ninput line 3: invalid: plain text"},
		{strings.Repeat("alice:swordfish\n", 12), "and 2 more lines"},
		{"alice:" + bcryptHash + "\n" + strings.Repeat("x", 64<<10) + "\n", "input line 2: invalid: longer than 64 KiB"},
	} {
		users, err := ReadHtpasswd(strings.NewReader(c.in))
		if err == nil || users != nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, store.ErrInvalid) && !errors.Is(err, store.ErrDuplicate) {
			t.Errorf("%.60q: %v; want %s", c.in, err, c.want)
		} else if text := err.Error(); strings.Contains(text, "swordfish") || strings.Contains(text, "MalP") || strings.Contains(text, "CCCC") || strings.Contains(text, "0123") {
			t.Errorf("%.60q: the error quotes the hash: %v", c.in, err)
		}
	}
}

func FuzzHtpasswd(f *testing.F) {
	for _, seed := range []string{"a:" + bcryptHash + ":x\r\n#\n\nb:" + argonHash, "a:b:0123456789abcdef0123456789abcdef", "\ufeffa:" + bcryptHash, "a:{SHA}x", ":", "a::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		users, err := ReadHtpasswd(strings.NewReader(in))
		if err != nil && users != nil {
			t.Fatal("an error and users")
		}
		lines := strings.Split(strings.TrimPrefix(in, byteOrderMark), "\n")
		for _, u := range users {
			if !store.ValidUserName(u.Name) || !passwordhash.Valid(u.Password) || !strings.HasPrefix(lines[u.Line-1], u.Name+":"+u.Password) {
				t.Fatalf("%q: %+v", in, u)
			}
		}
	})
}
