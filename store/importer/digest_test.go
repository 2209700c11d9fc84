package importer

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
)

// TestHashedKeys checks which spellings of a digest are read, and that all
// mean the same digest.
func TestHashedKeys(t *testing.T) {
	plain, peppered := apikey.NewHasher(authz.Secret{}), apikey.NewHasher(authz.NewSecret("a pepper of sixteen bytes"))
	sum, mac := plain.Digest("quux"), peppered.Digest("quux") // the first has both characters by which the alphabets differ
	digits, std, url := hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:]), base64.URLEncoding.EncodeToString(sum[:])
	if !strings.Contains(url, "_") || !strings.Contains(url, "-") {
		t.Fatal("choose another key")
	}
	read := func(h *apikey.Hasher, text string) (store.ImportedKey, error) {
		return KeyFormat{Hashed: true}.ReadKey(text, &store.KeyParams{Name: "n"}, h)
	}
	for _, text := range []string{digits, strings.ToUpper(digits), strings.ToUpper(digits[:9]) + digits[9:], std, url, strings.TrimSuffix(std, "="), strings.TrimSuffix(url, "=")} {
		if key, err := read(plain, "sha256:"+text); err != nil || key.Hash != sum {
			t.Errorf("%s: %x, %v", text, key.Hash, err)
		}
	}
	for _, text := range []string{hex.EncodeToString(mac[:]), base64.StdEncoding.EncodeToString(mac[:]), base64.RawURLEncoding.EncodeToString(mac[:])} {
		if key, err := read(peppered, "hmac-sha256:"+text); err != nil || key.Hash != mac {
			t.Errorf("%s: %x, %v", text, key.Hash, err)
		}
	}
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", std[42])
	for name, text := range map[string]string{
		"nothing": "", "a name alone": "sha256:", "no name": std, "another name": "sha512:" + std, "an upper-case name": "SHA256:" + std, "as Subresource Integrity": "sha256-" + std,
		"a byte short": "sha256:" + digits[:62], "a digit short": "sha256:" + digits[:63], "a digit long": "sha256:" + digits + "0", "another digit": "sha256:" + digits[:63] + "g",
		"base64, short": "sha256:" + std[:42], "base64, long": "sha256:" + std[:43] + "A", "padded twice": "sha256:" + std + "=", "padded once too early": "sha256:" + std[:42] + "==",
		"both alphabets": "sha256:" + strings.Replace(strings.Replace(url, "-", "+", 1), "_", "_", 1), "a space": "sha256: " + std, "a line break": "sha256:" + std[:20] + "\n" + std[20:],
		"a line break in place of a character": "sha256:" + std[:20] + "\n" + std[21:],
		"a byte short, and a line break":       "sha256:" + strings.Repeat("A", 42) + "\n",
		"bits behind the last byte":            "sha256:" + std[:42] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[last|1]) + "=",
		"SHA-1":                                "sha256:" + digits[:40], "the pepper's hash": "hmac-sha256:" + std,
	} {
		_, err := read(plain, text)
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), std[:10]) || strings.Contains(err.Error(), digits[:10]) {
			t.Errorf("%s: the error quotes the hash: %v", name, err)
		}
	}
	if _, err := read(peppered, "sha256:"+std); err == nil || !strings.Contains(err.Error(), "hashed with hmac-sha256") {
		t.Errorf("a hash without the pepper: %v", err)
	}
}

// TestHashedTable: hashes with a user for each.
func TestHashedTable(t *testing.T) {
	hasher := apikey.NewHasher(authz.Secret{})
	one, two := hasher.Digest("one"), hasher.Digest("two")
	table := "digest,owner\nsha256:" + base64.StdEncoding.EncodeToString(one[:]) + ",alice\nsha256:" + hex.EncodeToString(two[:]) + ",bob\n"
	format := KeyFormat{Hashed: true, Columns: []Column{{"key", "digest"}, {"user", "owner"}}}
	keys, err := format.Read(strings.NewReader(table), store.KeyParams{Name: "n"}, hasher)
	if err != nil || len(keys) != 2 || keys[0].Hash != one || keys[0].Params.User != "alice" || keys[1].Hash != two || keys[1].Params.User != "bob" {
		t.Errorf("%+v, %v", keys, err)
	}
	if _, err := format.Read(strings.NewReader("digest,owner\nsecret-key-of-alice,alice\n"), store.KeyParams{Name: "n"}, hasher); !errors.Is(err, store.ErrInvalid) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a key in place of its hash: %v", err)
	}
}

func FuzzDigest(f *testing.F) {
	sum := sha256.Sum256([]byte("quux"))
	for _, seed := range []string{hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:]), base64.RawURLEncoding.EncodeToString(sum[:]), ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d apikey.Digest
		if !parseDigest(&d, text) {
			return
		}
		for _, written := range [][]byte{
			[]byte(hex.EncodeToString(d[:])), []byte(base64.StdEncoding.EncodeToString(d[:])), []byte(base64.URLEncoding.EncodeToString(d[:])),
			[]byte(base64.RawStdEncoding.EncodeToString(d[:])), []byte(base64.RawURLEncoding.EncodeToString(d[:])),
		} {
			if text == string(written) || len(text) == 64 && bytes.EqualFold([]byte(text), written) {
				return
			}
		}
		t.Fatalf("%q is read as %x, and is not a spelling of it", text, d)
	})
}
