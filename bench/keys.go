package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/importer"
)

// keyFile is a key file made for a measurement, with the plain text of its keys.
type keyFile struct {
	path    string
	journal *filestore.KeyFile
	secrets []string
	records []store.KeyRecord // of the first maxChanged keys
}

// maxChanged is how many keys can be changed while something is measured.
const maxChanged = 50_000

const keyPrefix = "kw_"

// bearer is the value of Authorization with a key.
func bearer(key string) string { return "Bearer " + key }

// makeKeys writes a file of n keys, each with a user, two scopes and a path, in one step.
func makeKeys(dir string, n int) (*keyFile, error) {
	f := &keyFile{path: filepath.Join(dir, fmt.Sprintf("keys-%d.jsonl", n))}
	hasher := apikey.NewHasher(authz.Secret{})
	f.journal = filestore.NewKeyFile(filestore.KeyFileConfig{Path: f.path, Hasher: hasher})
	var lines bytes.Buffer
	for range n {
		secret, err := apikey.Generate(rand.Reader, keyPrefix, apikey.FormatKeyward)
		if err != nil {
			return nil, err
		}
		f.secrets = append(f.secrets, secret.Reveal())
		lines.WriteString(secret.Reveal() + "\n")
	}
	keys, err := importer.KeyFormat{}.Read(&lines, store.KeyParams{
		Name: "measured key", User: "load-test", Prefix: keyPrefix,
		Scopes: &[]string{"items:read", "items:write"}, Paths: []string{"/api/v1"},
	}, hasher)
	if err != nil {
		return nil, err
	}
	records, err := f.journal.Import(context.Background(), keys)
	if err != nil {
		return nil, err
	}
	f.secrets, f.records = packed(f.secrets), slices.Clone(records[:min(len(records), maxChanged)])
	return f, nil
}
