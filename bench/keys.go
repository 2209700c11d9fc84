package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"

	"keyward/apikey"
	"keyward/authz"
	"keyward/keystore"
)

// keyFile is a key file for a measurement, with its keys in plaintext.
type keyFile struct {
	path    string
	journal *keystore.Journal
	secrets []string
	records []keystore.Record // of the first maxChanged keys
}

// maxChanged is how many keys can be changed during a measurement.
const maxChanged = 50_000

const keyPrefix = "kw_"

// bearer returns the value of Authorization for a key.
func bearer(key string) string { return "Bearer " + key }

// makeKeys writes a file of n keys, each with a user, two scopes and a path, in
// one step.
func makeKeys(dir string, n int) (*keyFile, error) {
	f := &keyFile{path: filepath.Join(dir, fmt.Sprintf("keys-%d.jsonl", n))}
	f.journal = keystore.NewJournal(keystore.JournalConfig{Path: f.path, Hasher: apikey.NewHasher(authz.Secret{})})
	var lines bytes.Buffer
	for range n {
		secret, err := apikey.Generate(rand.Reader, keyPrefix, apikey.FormatKeyward)
		if err != nil {
			return nil, err
		}
		f.secrets = append(f.secrets, secret.Reveal())
		lines.WriteString(secret.Reveal() + "\n")
	}
	records, err := f.journal.Import(&lines, keystore.Params{
		Name: "measured key", User: "load-test", Prefix: keyPrefix,
		Scopes: &[]string{"items:read", "items:write"}, Paths: []string{"/api/v1"},
	})
	f.secrets, f.records = packed(f.secrets), slices.Clone(records[:min(len(records), maxChanged)])
	return f, err
}
