package keystore

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/internal/race"
)

func TestGenerate(t *testing.T) {
	for _, prefix := range []string{"kw_", "", "a-b_C9"} {
		secret, err := Generate(rand.Reader, prefix, FormatKeyward)
		if err != nil {
			t.Fatal(err)
		}
		key := secret.Reveal()
		if len(key) != len(prefix)+38 || !strings.HasPrefix(key, prefix) || !WellFormed(key, prefix) {
			t.Errorf("prefix %q: a key of %d characters that is not well formed", prefix, len(key))
		}
		text := key[:len(key)-6]
		want := ""
		for n, i := crc32.ChecksumIEEE([]byte(text)), 0; i < 6; i++ {
			want = string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[n%62]) + want
			n /= 62
		}
		if key[len(key)-6:] != want {
			t.Errorf("checksum %s, want %s", key[len(key)-6:], want)
		}
		if formatOf(key, prefix) != FormatKeyward {
			t.Errorf("prefix %q: an import would not know the format", prefix)
		}
	}
	secret, err := Generate(rand.Reader, "kw_", FormatHex)
	if err != nil {
		t.Fatal(err)
	}
	if key := secret.Reveal(); !IsHex(key) || len(key) != 44 || WellFormed(key, "") || formatOf(key, "kw_") != FormatHex {
		t.Error("a hex key that is none")
	}
	if _, err := Generate(rand.Reader, "", FormatRaw); err == nil {
		t.Error("a raw key was made")
	}
	if _, err := Generate(bytes.NewReader(make([]byte, 10)), "", FormatKeyward); err == nil {
		t.Error("a key was made without random bytes")
	}
}

// Every character is as likely as any other: bytes that would favour the
// first eight are thrown away.
func TestGenerateIsUnbiased(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	text, err := randomText(bytes.NewReader(bytes.Repeat(all, 2)), base62, 248)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(base62) {
		if n := strings.Count(text, base62[i:i+1]); n != 4 {
			t.Errorf("%q stands %d times, want 4", base62[i], n)
		}
	}
}

func TestWellFormedRefuses(t *testing.T) {
	secret, _ := Generate(rand.Reader, "kw_", FormatKeyward)
	key := secret.Reveal()
	for i := range len(key) {
		for _, c := range []byte{'0', 'z', '!', 0xff} {
			if key[i] == c {
				continue
			}
			if changed := key[:i] + string(rune(c)) + key[i+1:]; WellFormed(changed, "kw_") {
				t.Errorf("accepted with another character at %d", i)
			}
		}
	}
	for _, other := range []string{"", key[:len(key)-1], key + "0", " " + key, key[3:]} {
		if WellFormed(other, "kw_") {
			t.Errorf("accepted a text of %d characters", len(other))
		}
	}
	if WellFormed(key, "") || WellFormed(key, "kw") {
		t.Error("accepted under another prefix")
	}
	if n := testing.AllocsPerRun(100, func() { WellFormed(key, "kw_") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestValidPrefix(t *testing.T) {
	for prefix, valid := range map[string]bool{
		"": true, "kw_": true, "live-key_": true, "A9": true, strings.Repeat("x", 32): true,
		strings.Repeat("x", 33): false, "kw ": false, "kw.": false, "kw\n": false, "ké": false, "k:": false,
	} {
		if err := ValidPrefix(prefix); (err == nil) != valid {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}

func TestHint(t *testing.T) {
	for _, c := range []struct{ key, prefix, want string }{
		{"kw_abcdefghijklmnopqrstuvwxyz", "kw_", "kw_abcd"},
		{"abcdefghijklmnopqrstuvwxyz", "kw_", "abcd"},
		{"kw_short", "kw_", "kw_"},
		{"short", "", ""},
	} {
		if got := Hint(c.key, c.prefix); got != c.want {
			t.Errorf("Hint(%q, %q) = %q, want %q", c.key, c.prefix, got, c.want)
		}
	}
}

func TestHasher(t *testing.T) {
	plain, peppered := NewHasher(authz.Secret{}), NewHasher(authz.NewSecret("0123456789abcdef"))
	// From sha256sum and openssl dgst -hmac.
	for _, c := range []struct {
		h    *Hasher
		name string
		want string
	}{
		{plain, "sha256", "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"},
		{peppered, "hmac-sha256", "20a9171a03070f7952cd455b7cfec78cca1f46534443f8e79ce7a1d66deefc49"},
	} {
		d := c.h.Digest("key")
		if got := fmt.Sprintf("%x", d[:]); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
		if c.h.Name() != c.name {
			t.Errorf("name %s, want %s", c.h.Name(), c.name)
		}
		if n := testing.AllocsPerRun(1000, func() { c.h.Digest("kw_0123456789") }); n >= 1 && !race.Detector {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		if c.h.Digest("key") != d || c.h.Digest("kex") == d {
			t.Errorf("%s: not a function of the key", c.name)
		}
	}
	other := NewHasher(authz.NewSecret("0123456789abcdeg"))
	if plain.PepperID() != "" || len(peppered.PepperID()) != 8 || peppered.PepperID() == other.PepperID() {
		t.Errorf("pepper ids %q, %q and %q", plain.PepperID(), peppered.PepperID(), other.PepperID())
	}
	if peppered.Digest("key") == other.Digest("key") || peppered.Digest("key") == plain.Digest("key") {
		t.Error("the pepper makes no difference")
	}
}

func TestReadPepper(t *testing.T) {
	for text, want := range map[string]string{
		"0123456789abcdef":       "0123456789abcdef",
		"0123456789abcdef\n":     "0123456789abcdef",
		"0123456789abcdef\n\n":   "0123456789abcdef\n",
		"0123456789abcde\n":      "",
		"":                       "",
		"\x00123456789abcdef \n": "\x00123456789abcdef ",
	} {
		path := filepath.Join(t.TempDir(), "pepper")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadPepper(path)
		if (err != nil) != (want == "") || got.Reveal() != want {
			t.Errorf("%q: %q, %v", text, got.Reveal(), err)
		}
		if err != nil && text != "" && strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("the error shows the pepper: %v", err)
		}
	}
	if _, err := ReadPepper(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing pepper is no error")
	}
}

func FuzzWellFormed(f *testing.F) {
	secret, _ := Generate(rand.Reader, "kw_", FormatKeyward)
	f.Add(secret.Reveal(), "kw_")
	f.Add("", "")
	f.Add("kw_"+strings.Repeat("0", 38), "kw_")
	f.Fuzz(func(t *testing.T, key, prefix string) {
		if !WellFormed(key, prefix) {
			return
		}
		if len(key) != len(prefix)+38 || !strings.HasPrefix(key, prefix) {
			t.Fatal("wrong length or prefix")
		}
		if last := key[len(key)-1]; WellFormed(key[:len(key)-1]+string(base62[(strings.IndexByte(base62, last)+1)%62]), prefix) {
			t.Fatal("two checksums for one body")
		}
	})
}

func TestCRC32(t *testing.T) {
	for n := range 100 {
		text := make([]byte, n)
		_, _ = rand.Read(text)
		if got, want := crc32IEEE(string(text)), crc32.ChecksumIEEE(text); got != want {
			t.Errorf("%x: %08x, want %08x", text, got, want)
		}
	}
}
