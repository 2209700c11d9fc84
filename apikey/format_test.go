package apikey

import (
	"bytes"
	"crypto/rand"
	"hash/crc32"
	"strings"
	"testing"
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
		if DetectFormat(key, prefix) != FormatKeyward {
			t.Errorf("prefix %q: DetectFormat does not recognize the key", prefix)
		}
	}
	secret, err := Generate(rand.Reader, "kw_", FormatHex)
	if err != nil {
		t.Fatal(err)
	}
	if key := secret.Reveal(); !IsHex(key) || len(key) != 44 || WellFormed(key, "") || DetectFormat(key, "kw_") != FormatHex {
		t.Error("a hex key that is not well formed")
	}
	if _, err := Generate(rand.Reader, "", FormatRaw); err == nil {
		t.Error("Generate made a raw key")
	}
	if _, err := Generate(bytes.NewReader(make([]byte, 10)), "", FormatKeyward); err == nil {
		t.Error("Generate succeeded without random bytes")
	}
}

// TestGenerateIsUnbiased: every character has the same probability. Bytes that
// would favour the first eight are discarded.
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
			t.Errorf("%q occurs %d times, want 4", base62[i], n)
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
				t.Errorf("accepted with a changed character at %d", i)
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

func TestValidatePrefix(t *testing.T) {
	for prefix, valid := range map[string]bool{
		"": true, "kw_": true, "live-key_": true, "A9": true, strings.Repeat("x", 32): true,
		strings.Repeat("x", 33): false, "kw ": false, "kw.": false, "kw\n": false, "ké": false, "k:": false,
	} {
		if err := ValidatePrefix(prefix); (err == nil) != valid {
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
			t.Fatal("one body has two checksums")
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

func BenchmarkWellFormed(b *testing.B) {
	secret, _ := Generate(rand.Reader, "kw_", FormatKeyward)
	key := secret.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if !WellFormed(key, "kw_") {
			b.Fatal("not well formed")
		}
	}
}
