package apikey

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/internal/race"
)

func TestHasher(t *testing.T) {
	unpeppered, peppered := NewHasher(authz.Secret{}), NewHasher(authz.NewSecret("0123456789abcdef"))
	// The values are from sha256sum and openssl dgst -hmac.
	for _, c := range []struct {
		h    *Hasher
		name string
		want string
	}{
		{unpeppered, "sha256", "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"},
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
			t.Errorf("%s: the digest of a key changes", c.name)
		}
	}
	other := NewHasher(authz.NewSecret("0123456789abcdeg"))
	if unpeppered.PepperID() != "" || len(peppered.PepperID()) != 8 || peppered.PepperID() == other.PepperID() {
		t.Errorf("pepper IDs %q, %q and %q", unpeppered.PepperID(), peppered.PepperID(), other.PepperID())
	}
	if peppered.Digest("key") == other.Digest("key") || peppered.Digest("key") == unpeppered.Digest("key") {
		t.Error("two peppers give the same digest")
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
			t.Errorf("the error quotes the pepper: %v", err)
		}
	}
	if _, err := ReadPepper(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error for a missing pepper file")
	}
}

func BenchmarkDigest(b *testing.B) {
	for _, pepper := range []string{"", "a pepper of sixteen bytes"} {
		h := NewHasher(authz.NewSecret(pepper))
		b.Run(h.Name(), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				h.Digest("kw_0123456789abcdefghijklmnopqrstuv123456")
			}
		})
	}
}
