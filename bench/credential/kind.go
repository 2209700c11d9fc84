// Package credential makes what the benchmark presents, and the files by which
// Keyward verifies it: API keys with their key file, passwords with their users
// file, tokens with their JWKS.
package credential

import (
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"

	"keyward/authz"
	"keyward/internal/recordfile"
	"keyward/internal/records"
	"keyward/store"
	"keyward/store/filestore"
)

// Kind holds valid credentials of one kind.
type Kind struct {
	Name   string
	Values []string // of Authorization
}

// knownPasswords is few, since the server has to hash each of them once.
const knownPasswords = 20

// NewPasswords writes credential-users.jsonl into the directory: the users of the
// passwords, and the one that the keys act for.
func NewPasswords(dir string) (Kind, error) {
	passwords := Kind{Name: "password"}
	users := recordfile.NewUserFile(filestore.UserFileConfig{Path: filepath.Join(dir, "credential-users.jsonl")}, nil)
	for i := range knownPasswords {
		name, password := fmt.Sprint("user", i), authz.NewSecret("correct horse battery staple")
		if _, err := users.Set(context.Background(), name, store.AnyVersion, records.UserPatch{Password: &password, Scopes: &[]string{"items:read", "items:write"}}); err != nil {
			return passwords, err
		}
		passwords.Values = append(passwords.Values, "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+password.Reveal())))
	}
	_, err := users.Set(context.Background(), "load-test", store.AnyVersion, records.UserPatch{})
	return passwords, err
}
